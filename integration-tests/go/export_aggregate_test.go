package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/exporter"

	"sextant/integration-tests/oracle"
)

// aggregateFields are sets of fields by which flows are equal; as many more are made by chance as one sextantd exports at a time.
var aggregateFields = [][]string{
	{"verdict"},
	{"source.namespace", "destination.namespace", "verdict"},
	{"node_name"},
	{"source", "source.identity"},
	{"time"},
	{"time.seconds", "verdict"},
	{"aggregate", "verdict"},
	{"traffic_direction"},
	{"l4"},
	{"l4.TCP.destination_port", "l4.UDP.destination_port"},
	{"l7.http.code", "l7.dns.rcode", "l7.type"},
	{"is_reply.value", "IP.ipVersion"},
	{"extensions"},
	{"uuid"},
}

const maxExporters = 32

// TestAggregate: with the same fields and the same events, the lines of the real exporter, and no others.
func TestAggregate(t *testing.T) {
	chosen := seed(t)
	events := corpus(newDice(chosen, purposeCorpus), corpusFlows)
	events = append(events, likelyFlows(newDice(chosen, purposeMetricsFlows))...)
	slices.SortStableFunc(events, func(a, b *v1.Event) int { return a.Timestamp.AsTime().Compare(b.Timestamp.AsTime()) })
	sets := slices.Clone(aggregateFields)
	d := newDice(chosen, purposeAggregates)
	for len(sets) < maxExporters {
		sets = append(sets, some(d, 1, 4, validPaths))
	}
	allow := []*flowpb.FlowFilter{nil, {Protocol: []string{"tcp", "udp"}}}
	for _, filter := range allow {
		got := subjectAggregates(t, sets, filter, events)
		groups, flows := 0, 0
		for i, fields := range sets {
			want := oracleAggregate(t, fields, filter, events)
			compareLines(t, fmt.Sprint(fields, filter), want, got[i])
			for _, line := range want {
				groups++
				flows += counted(line)
			}
		}
		t.Logf("%d sets of fields, %d events, filter %v: %d lines for %d flows", len(sets), len(events), filter, groups, flows)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// oracleAggregate is what the real exporter writes until it is stopped.
func oracleAggregate(t *testing.T, fields []string, filter *flowpb.FlowFilter, events []*v1.Event) []any {
	t.Helper()
	var lines bytes.Buffer
	options := []exporter.Option{
		exporter.WithNewWriterFunc(func() (io.WriteCloser, error) { return nopCloser{&lines}, nil }),
		exporter.WithFieldMask([]string{"uuid"}),
		exporter.WithFieldAggregate(fields),
		exporter.WithAggregationInterval(time.Hour),
	}
	if filter != nil {
		options = append(options, exporter.WithAllowList(oracle.Quiet(), []*flowpb.FlowFilter{filter}))
	}
	real, err := exporter.NewExporter(oracle.Quiet(), options...)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if err := real.Export(context.Background(), event); err != nil {
			t.Fatal(err)
		}
	}
	if err := real.Stop(); err != nil {
		t.Fatal(err)
	}
	return parseLines(t, lines.Bytes())
}

// subjectAggregates are the files of a sextantd with an exporter for each set of fields, once it was told to end.
func subjectAggregates(t *testing.T, sets [][]string, filter *flowpb.FlowFilter, events []*v1.Event) [][]any {
	t.Helper()
	dir := t.TempDir()
	replay, config := filepath.Join(dir, "flows.jsonl"), filepath.Join(dir, "flow-logs.yaml")
	if err := os.WriteFile(replay, jsonLines(t, events), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)+".log") }
	var entries []map[string]any
	for i, fields := range sets {
		entry := map[string]any{
			"name": strconv.Itoa(i), "filePath": file(i), "fileMaxSizeMb": 1000, "fieldMask": []string{"uuid"},
			"fieldAggregate": fields, "aggregationInterval": "1h",
		}
		if filter != nil {
			entry["includeFilters"] = []any{map[string]any{"protocol": filter.Protocol}}
		}
		entries = append(entries, entry)
	}
	// JSON is YAML.
	text, err := json.Marshal(map[string]any{"flowLogs": entries})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "sextant.toml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, "[export]\nflow_logs = %q\n", config), 0o600); err != nil {
		t.Fatal(err)
	}
	runReplay(t, dir, settings, replay)
	var all [][]any
	for i := range sets {
		lines, err := os.ReadFile(file(i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseLines(t, lines))
	}
	return all
}

// runReplay runs sextantd until it has loaded the file, and then to its end.
func runReplay(t *testing.T, dir, settings, replay string) {
	t.Helper()
	socket := filepath.Join(socketDir(t), "subject.sock")
	log := &lockedBuffer{}
	process := exec.Command(subjectBinary(t), "--no-datapath", "--config", settings, "--replay", replay, "--listen", "unix://"+socket,
		"--metrics-listen", "off", "--state-dir", filepath.Join(dir, "state"), "--node-name", nodeName)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = process.Wait(); close(exited) }()
	defer func() {
		stop(process, exited)
		if t.Failed() {
			t.Logf("log of sextantd:\n%s", log)
		}
	}()
	waitUntilServing(t, dial(t, "sextantd", socket), exited)
}

func parseLines(t *testing.T, text []byte) []any {
	t.Helper()
	var lines []any
	for line := range bytes.Lines(text) {
		var parsed any
		if err := json.Unmarshal(line, &parsed); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, parsed)
	}
	return lines
}

// counted is how many flows a line stands for.
func counted(line any) int {
	event, _ := line.(map[string]any)
	flow, _ := event["flow"].(map[string]any)
	aggregate, _ := flow["aggregate"].(map[string]any)
	sum := 0
	for _, count := range aggregate {
		number, _ := count.(float64)
		sum += int(number)
	}
	return sum
}

// compareLines fails the test for each line that one side has alone, or more often.
func compareLines(t *testing.T, what string, want, got []any) {
	t.Helper()
	times := map[string]int{}
	for _, line := range want {
		times[canonical(t, line)]++
	}
	for _, line := range got {
		times[canonical(t, line)]--
	}
	told := 0
	for _, line := range slices.Sorted(maps.Keys(times)) {
		if times[line] != 0 && told < 10 {
			told++
			side := "upstream"
			if times[line] < 0 {
				side = "sextantd"
			}
			t.Errorf("%s: only %s has %s", what, side, strings.TrimSpace(line))
		}
	}
}

// canonical has the keys in order.
func canonical(t *testing.T, line any) string {
	t.Helper()
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
