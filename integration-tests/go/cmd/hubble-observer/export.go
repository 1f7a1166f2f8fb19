package main

import (
	"context"
	"log/slog"

	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/exporter"
	"github.com/cilium/cilium/pkg/hubble/observer/observeroption"
)

// exporting are the options with which the observer's flows go to a file by the real exporter, as the agent has it; none without a file.
func exporting(log *slog.Logger, path string) ([]observeroption.Option, error) {
	if path == "" {
		return nil, nil
	}
	writer := exporter.FileWriter(exporter.FileWriterConfig{Filename: path, MaxSize: 4000})
	real, err := exporter.NewExporter(log, exporter.WithNewWriterFunc(writer))
	if err != nil {
		return nil, err
	}
	export := func(ctx context.Context, event *v1.Event) (bool, error) { return false, real.Export(ctx, event) }
	return []observeroption.Option{observeroption.WithOnDecodedEventFunc(export)}, nil
}
