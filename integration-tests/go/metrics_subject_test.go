package differential

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// subjectMetrics are the series under Hubble's names of a sextantd that was told the same and has counted as many flows.
func subjectMetrics(t *testing.T, configuration, replay string, flows int) map[string]sample {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "sextant.toml")
	text := fmt.Sprintf("[metrics]\nhubble = [%s]\nhubble_series = 100000\n", strconv.Quote(configuration))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	process := exec.Command(subjectBinary(t),
		"--config", config,
		"--no-datapath",
		"--replay", replay,
		"--listen", "unix://"+filepath.Join(socketDir(t), "subject.sock"),
		"--metrics-listen", "127.0.0.1:0",
		"--state-dir", filepath.Join(dir, "state"))
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = process.Wait(); close(exited) }()
	defer stop(process, exited)
	page := waitForPage(t, log, exited, flows)
	return parsePage(t, page)
}

var metricsURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`)

// waitForPage is the page once all flows are counted.
func waitForPage(t *testing.T, log *lockedBuffer, exited <-chan struct{}, flows int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	all := fmt.Sprintf("\nsextant_hubble_metrics_flows_total %d\n", flows)
	for page := ""; ; {
		if url := metricsURL.FindString(log.String()); url != "" {
			page = fetch(ctx, url)
		}
		if strings.Contains(page, all) {
			return page
		}
		select {
		case <-exited:
			t.Fatalf("sextantd ended: %s", log)
		case <-ctx.Done():
			t.Fatalf("%d flows are not counted after %s: %s\n%s", flows, readyWithin, log, page)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func fetch(ctx context.Context, url string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return string(page)
}

// parsePage reads the series of Hubble from a page in OpenMetrics text. Lost events are apart: they are counted with every metric.
func parsePage(t *testing.T, page string) map[string]sample {
	t.Helper()
	samples := map[string]sample{}
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "hubble_") || strings.HasPrefix(line, "hubble_lost_events") {
			continue
		}
		name, labels, rest := parseSeries(t, line)
		value, exemplar, _ := strings.Cut(strings.TrimSpace(rest), " # ")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		read := sample{value: number}
		if exemplar != "" {
			_, traced, _ := parseSeries(t, exemplar)
			read.exemplar = traced["traceID"]
		}
		if le, ok := labels["le"]; ok {
			upper, err := strconv.ParseFloat(le, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			labels["le"] = bound(upper)
		}
		series := seriesName(name, labels)
		if _, twice := samples[series]; twice {
			t.Fatalf("%s is there twice", series)
		}
		samples[series] = read
	}
	return samples
}

var escapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

var labelPair = regexp.MustCompile(`^([a-zA-Z_]+)="((?:[^"\\]|\\.)*)",?`)

// parseSeries takes name and labels from a line; the rest follows.
func parseSeries(t *testing.T, line string) (name string, labels map[string]string, rest string) {
	t.Helper()
	labels = map[string]string{}
	name, rest, found := strings.Cut(line, "{")
	if !found {
		name, rest, _ = strings.Cut(line, " ")
		return name, labels, rest
	}
	for !strings.HasPrefix(rest, "}") {
		pair := labelPair.FindStringSubmatch(rest)
		if pair == nil {
			t.Fatalf("no labels: %q", line)
		}
		labels[pair[1]] = escapes.Replace(pair[2])
		rest = rest[len(pair[0]):]
	}
	return name, labels, rest[1:]
}
