package differential

import (
	"cmp"
	"context"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/hubble/metrics"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"sextant/integration-tests/oracle"
)

// randomMetrics is how many configurations are made by chance, beside those that are written down.
const randomMetrics = 16

// TestMetrics: with the same configuration and the same flows, the metrics of the real handlers, and no others, with the same labels
// and values.
func TestMetrics(t *testing.T) {
	chosen := seed(t)
	flows := corpus(newDice(chosen, purposeCorpus), corpusFlows)
	flows = append(flows, likelyFlows(newDice(chosen, purposeMetricsFlows))...)
	configurations := slices.Clone(metricsConfigurations)
	d := newDice(chosen, purposeMetrics)
	for range randomMetrics {
		configurations = append(configurations, randomMetricsConfiguration(d))
	}
	replay := filepath.Join(t.TempDir(), "flows.jsonl")
	if err := os.WriteFile(replay, jsonLines(t, flows), 0o600); err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, configuration := range configurations {
		want := oracleMetrics(t, configuration, flowsOf(flows))
		got := subjectMetrics(t, configuration, replay, len(flowsOf(flows)))
		series += len(want)
		compareMetrics(t, configuration, want, got)
	}
	for _, meant := range meantMetricDifferences {
		t.Logf("meant difference %q: %d series", meant.name, meant.seen)
		if meant.seen == 0 {
			t.Errorf("%q is no difference any more: %s", meant.name, meant.reason)
		}
	}
	t.Logf("%d configurations, %d flows, %d series of the real handlers", len(configurations), len(flowsOf(flows)), series)
}

// compareMetrics fails the test for each series that one side has alone, or with another value.
func compareMetrics(t *testing.T, configuration string, want, got map[string]sample) {
	t.Helper()
	all := maps.Clone(want)
	maps.Copy(all, got)
	shown := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		w, g := want[name], got[name]
		if w == g {
			continue
		}
		if shown++; shown > 8 {
			t.Errorf("%s: and more", configuration)
			return
		}
		t.Errorf("%s\n%s: real %v, sextantd %v", configuration, name, w, g)
	}
}

// oracleMetrics are the series of the real handlers.
func oracleMetrics(t *testing.T, configuration string, flows []*flowpb.Flow) map[string]sample {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	handlers, err := realHandlers(registry, configuration)
	if err != nil {
		t.Fatalf("%s: %v", configuration, err)
	}
	processor := metrics.NewStaticFlowProcessor(oracle.Quiet(), *handlers)
	for _, flow := range flows {
		if err := processor.ProcessFlow(context.Background(), flow); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return samplesOf(families)
}

func realHandlers(registry *prometheus.Registry, configuration string) (*[]api.NamedHandler, error) {
	parsed := api.ParseStaticMetricsConfig(strings.Fields(configuration))
	return metrics.InitMetricHandlers(oracle.Quiet(), registry, parsed)
}

// sample is the value of a series, with the trace of its exemplar if it has one.
type sample struct {
	value    float64
	exemplar string
}

func samplesOf(families []*dto.MetricFamily) map[string]sample {
	samples := map[string]sample{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			amendMetric(family.GetName(), labels)
			add := func(name string, value float64, exemplar *dto.Exemplar) {
				samples[seriesName(name, labels)] = sample{value, traceOf(exemplar)}
			}
			if counter := metric.GetCounter(); counter != nil {
				add(family.GetName(), counter.GetValue(), counter.GetExemplar())
			}
			if histogram := metric.GetHistogram(); histogram != nil {
				add(family.GetName()+"_sum", histogram.GetSampleSum(), nil)
				add(family.GetName()+"_count", float64(histogram.GetSampleCount()), nil)
				// The last bucket is written only where it has an exemplar.
				labels["le"] = bound(math.Inf(1))
				add(family.GetName()+"_bucket", float64(histogram.GetSampleCount()), nil)
				for _, bucket := range histogram.GetBucket() {
					labels["le"] = bound(bucket.GetUpperBound())
					add(family.GetName()+"_bucket", float64(bucket.GetCumulativeCount()), bucket.GetExemplar())
				}
			}
		}
	}
	return samples
}

func traceOf(exemplar *dto.Exemplar) string {
	for _, pair := range exemplar.GetLabel() {
		if pair.GetName() == "traceID" {
			return pair.GetValue()
		}
	}
	return ""
}

// bound is the upper bound of a bucket: both sides print numbers in their own way.
func bound(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

// seriesName is a name with its labels, sorted.
func seriesName(name string, labels map[string]string) string {
	var text strings.Builder
	text.WriteString(name)
	for _, label := range slices.SortedFunc(maps.Keys(labels), cmp.Compare) {
		text.WriteString(" " + label + "=" + strconv.Quote(labels[label]))
	}
	return text.String()
}
