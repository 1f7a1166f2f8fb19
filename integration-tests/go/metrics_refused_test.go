package differential

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// metricsRefused are configurations that sextantd refuses, with words that it must say: the key and what is allowed. Where upstream
// does not refuse one, there is the reason.
var metricsRefused = []struct {
	configuration string
	says          []string
	meant         string
}{
	{"drop:sourceContext=podd", []string{"metrics.hubble", "drop", "sourceContext", "`podd`", "pod-name"}, ""},
	{"drop:sourceContext", []string{"metrics.hubble", "sourceContext", "``", "reserved-identity"}, ""},
	{"flow:destinationIngressContext=pod|labels", []string{"destinationIngressContext", "`labels`", "workload"}, ""},
	{"flow:labelsContext=source_pood", []string{"labelsContext", "`source_pood`", "source_workload_kind"}, ""},
	{"flow:labelsContext=source_pod|source_ip", []string{"labelsContext", "`source_pod|source_ip`"}, ""},
	{"flow:labelsContext=Source_Pod", []string{"`Source_Pod`", "source_pod"}, ""},
	{"http httpV2", []string{"metrics.hubble", "http and httpV2"}, ""},
	{"drop flow drop", []string{"metrics.hubble", "drop is given twice"}, ""},
	{"dorp", []string{"metrics.hubble", "`dorp`", "known: dns, drop"}, "upstream passes over names that it does not know, and counts nothing"},
	{"httpv2", []string{"`httpv2`", "httpV2"}, "the same"},
	{"flow:sourceContex=pod", []string{"flow", "`sourceContex`", "sourceContext"}, "upstream passes over options that it does not know"},
	{"flow:query", []string{"flow", "`query`", "labelsContext"}, "the same, with an option of another metric"},
}

// TestMetricsRefused: what upstream refuses, sextantd refuses too, and says what is allowed.
func TestMetricsRefused(t *testing.T) {
	for _, refused := range metricsRefused {
		err := refusedByUpstream(refused.configuration)
		if (err == nil) != (refused.meant != "") {
			t.Errorf("%s: upstream says %v", refused.configuration, err)
		}
		config := filepath.Join(t.TempDir(), "sextant.toml")
		text := fmt.Sprintf("[metrics]\nhubble = [%s]\n", strconv.Quote(refused.configuration))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command(subjectBinary(t), "check", "--config", config).CombinedOutput()
		if err == nil {
			t.Errorf("%s: sextantd does not refuse it", refused.configuration)
		}
		for _, word := range refused.says {
			if !strings.Contains(string(said), word) {
				t.Errorf("%s: does not say %s: %s", refused.configuration, word, said)
			}
		}
	}
}

// refusedByUpstream is its error; registering a metric twice is a panic there.
func refusedByUpstream(configuration string) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	_, err = realHandlers(prometheus.NewPedanticRegistry(), configuration)
	return err
}
