package main

import (
	"context"
	"log/slog"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/hubble/metrics"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
	"github.com/cilium/cilium/pkg/hubble/observer/observeroption"
	"github.com/prometheus/client_golang/prometheus"
)

// counting are the options with which the real handlers count the observer's flows, as the agent has them; none without a configuration.
func counting(log *slog.Logger, configuration string) ([]observeroption.Option, error) {
	if configuration == "" {
		return nil, nil
	}
	parsed := api.ParseStaticMetricsConfig(strings.Fields(configuration))
	handlers, err := metrics.InitMetricHandlers(log, prometheus.NewRegistry(), parsed)
	if err != nil {
		return nil, err
	}
	processor := metrics.NewStaticFlowProcessor(log, *handlers)
	count := func(ctx context.Context, flow *flowpb.Flow) (bool, error) {
		return false, processor.ProcessFlow(ctx, flow)
	}
	return []observeroption.Option{observeroption.WithOnDecodedFlowFunc(count)}, nil
}
