//! A series as an SVG, both axes logarithmic.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

use crate::report::Series;

const SIZE: (u32, u32) = (640, 360);

/// Writes `NAME.svg` into the folder.
pub(crate) fn write(series: &Series, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.svg", series.name));
    draw(series, &path).with_context(|| format!("drawing {}", path.display()))
}

fn draw(series: &Series, path: &Path) -> anyhow::Result<()> {
    let points = || series.curves.iter().flat_map(|(_, points)| points);
    let bounds = |values: Vec<f64>| {
        let (low, high) = values.iter().fold((f64::MAX, 0.0_f64), |(low, high), v| {
            (low.min(*v), high.max(*v))
        });
        (low / 1.5)..(high * 1.5)
    };
    let x = bounds(points().map(|(x, _)| *x).collect());
    let y = bounds(points().map(|(_, y)| y.median()).collect());
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(series.title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart
        .configure_mesh()
        .x_desc(series.x)
        .y_desc(series.y)
        .draw()?;
    for (index, (name, points)) in series.curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let line = points.iter().map(|(x, y)| (*x, y.median()));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
        // The spread of the rounds.
        let spread = points
            .iter()
            .map(|(x, y)| PathElement::new([(*x, y.min()), (*x, y.max())], color));
        chart.draw_series(spread)?;
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}
