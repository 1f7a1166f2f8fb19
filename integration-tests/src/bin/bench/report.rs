//! Figures with their spread and goals: on the terminal, as JSON, as Markdown.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};

/// Repeated measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    /// The middle one; NaN when there is none.
    #[must_use]
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The least.
    #[must_use]
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The greatest.
    #[must_use]
    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// Each divided by its counterpart of the same round.
    #[must_use]
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    fn json(&self) -> Value {
        json!({"median": self.median(), "min": self.min(), "max": self.max(), "samples": self.0})
    }

    fn text(&self) -> String {
        match self.0.len() {
            0 => "–".into(),
            1 => number(self.median()),
            _ => format!(
                "{} ({} .. {})",
                number(self.median()),
                number(self.min()),
                number(self.max())
            ),
        }
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What a figure must reach, by its median.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Sextant's own value is at most this.
    AtMost(f64),
    /// Sextant's own value is at least this.
    AtLeast(f64),
    /// Sextant ÷ Hubble is at most this.
    RatioAtMost(f64),
    /// Sextant ÷ Hubble is at least this.
    RatioAtLeast(f64),
    /// Sextant ÷ Hubble is at most the first, or Sextant's own value the second.
    RatioOrAtMost(f64, f64),
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Which scenario measured it.
    pub(crate) scenario: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Sextant's.
    pub(crate) sextant: Samples,
    /// The real Hubble's, measured in turns with Sextant's.
    pub(crate) hubble: Option<Samples>,
    /// What it must reach.
    pub(crate) goal: Option<Goal>,
}

impl Figure {
    fn ratio(&self) -> Option<Samples> {
        self.hubble.as_ref().map(|hubble| self.sextant.over(hubble))
    }

    /// Whether the goal is reached.
    #[must_use]
    pub(crate) fn is_reached(&self) -> Option<bool> {
        let ratio = || self.ratio().map_or(f64::NAN, |ratio| ratio.median());
        Some(match self.goal? {
            Goal::AtMost(bound) => self.sextant.median() <= bound,
            Goal::AtLeast(bound) => self.sextant.median() >= bound,
            Goal::RatioAtMost(bound) => ratio() <= bound,
            Goal::RatioAtLeast(bound) => ratio() >= bound,
            Goal::RatioOrAtMost(share, bound) => ratio() <= share || self.sextant.median() <= bound,
        })
    }

    fn goal_text(&self) -> String {
        match self.goal {
            None => String::new(),
            Some(Goal::AtMost(bound)) => format!("≤ {}", number(bound)),
            Some(Goal::AtLeast(bound)) => format!("≥ {}", number(bound)),
            Some(Goal::RatioAtMost(bound)) => format!("≤ {} ×", number(bound)),
            Some(Goal::RatioAtLeast(bound)) => format!("≥ {} ×", number(bound)),
            Some(Goal::RatioOrAtMost(share, bound)) => {
                format!("≤ {} × or ≤ {}", number(share), number(bound))
            }
        }
    }

    fn verdict(&self) -> &'static str {
        match self.is_reached() {
            None => "",
            Some(true) => "reached",
            Some(false) => "MISSED",
        }
    }

    fn cells(&self) -> [String; 7] {
        [
            self.what.clone(),
            self.unit.into(),
            self.sextant.text(),
            self.hubble.as_ref().map_or("–".into(), Samples::text),
            self.ratio()
                .map_or("–".into(), |ratio| ratio.text().replace("NaN", "–")),
            self.goal_text(),
            self.verdict().into(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "scenario": self.scenario, "what": self.what, "unit": self.unit,
            "sextant": self.sextant.json(),
            "hubble": self.hubble.as_ref().map(Samples::json),
            "ratio": self.ratio().as_ref().map(Samples::json),
            "goal": self.goal_text(), "reached": self.is_reached(),
        })
    }
}

/// How something grows with something else.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// File name without its end.
    pub(crate) name: &'static str,
    /// Title.
    pub(crate) title: &'static str,
    /// What is varied.
    pub(crate) x: &'static str,
    /// What is measured.
    pub(crate) y: &'static str,
    /// Name and points of each curve.
    pub(crate) curves: Vec<(&'static str, Vec<(f64, Samples)>)>,
}

impl Series {
    fn json(&self) -> Value {
        let curves: Vec<Value> = self
            .curves
            .iter()
            .map(|(name, points)| {
                let points: Vec<Value> = points
                    .iter()
                    .map(|(x, y)| json!({"x": x, "y": y.json()}))
                    .collect();
                json!({"name": name, "points": points})
            })
            .collect();
        json!({"name": self.name, "title": self.title, "x": self.x, "y": self.y, "curves": curves})
    }
}

/// All results so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The machine, a line.
    pub(crate) machine: String,
    /// The command, a line.
    pub(crate) command: String,
    /// Figures in order.
    pub(crate) figures: Vec<Figure>,
    /// Series in order.
    pub(crate) series: Vec<Series>,
    /// What was left out, and why.
    pub(crate) skipped: Vec<String>,
}

const HEAD: [&str; 7] = [
    "what",
    "unit",
    "Sextant: median (min .. max)",
    "Hubble: median (min .. max)",
    "ratio",
    "goal",
    "",
];

impl Report {
    /// Adds a figure and prints it.
    pub(crate) fn add(&mut self, figure: Figure) {
        println!("{}", figure.cells().join(" | "));
        self.figures.push(figure);
    }

    /// Adds a series and prints it.
    pub(crate) fn add_series(&mut self, series: Series) {
        for (name, points) in &series.curves {
            for (x, y) in points {
                println!("{name} | {x} {} | {:.3} {}", series.x, y.median(), series.y);
            }
        }
        self.series.push(series);
    }

    /// Notes that something was not measured.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        let what = what.into();
        println!("not measured: {what}");
        self.skipped.push(what);
    }

    /// The table.
    #[must_use]
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("{}\n\nOn {}.\n\n", self.command, self.machine);
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        out += &row(&HEAD.map(String::from));
        out += "|---|---|---|---|---|---|---|\n";
        for figure in &self.figures {
            out += &row(&figure.cells());
        }
        for series in &self.series {
            let _ = write!(out, "\n{} ({} by {})\n\n", series.title, series.y, series.x);
            for (name, points) in &series.curves {
                for (x, y) in points {
                    let _ = writeln!(out, "- {name}, {}: {}", number(*x), y.text());
                }
            }
        }
        for skipped in &self.skipped {
            let _ = write!(out, "\nNot measured: {skipped}\n");
        }
        out
    }

    /// Writes `results.json` and `results.md`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let all = json!({
            "machine": self.machine, "command": self.command,
            "figures": self.figures.iter().map(Figure::json).collect::<Vec<_>>(),
            "series": self.series.iter().map(Series::json).collect::<Vec<_>>(),
            "not_measured": self.skipped,
        });
        let text = serde_json::to_string_pretty(&all)?;
        std::fs::write(folder.join("results.json"), text)
            .and_then(|()| std::fs::write(folder.join("results.md"), self.markdown()))
            .with_context(|| format!("writing results to {}", folder.display()))
    }
}

/// Three significant digits, thousands apart.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |p| p);
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() && whole.len() > 4
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        grouped
    } else {
        format!("{grouped}.{fraction}")
    }
}
