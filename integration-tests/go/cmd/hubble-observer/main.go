// Command hubble-observer serves the real Hubble observer with flows from a file, for the benchmark.
//
//	hubble-observer generate -flows N -seed S >corpus.jsonl
//	hubble-observer serve -load corpus.jsonl -times K -capacity N -listen unix:///PATH|http://HOST:PORT [-export FILE] [-metrics "FLOW ..."]
//
// It is no agent: there is no datapath, only upstream's ring and service. While it serves it obeys lines on its standard input:
// "feed RATE SECONDS" offers flows at that rate and answers "fed OFFERED LOST". It ends with its input.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/pkg/hubble/observer"
	nodetypes "github.com/cilium/cilium/pkg/node/types"

	"sextant/integration-tests/oracle"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("hubble-observer: ")
	if len(os.Args) < 2 {
		log.Fatal("say `generate` or `serve`")
	}
	var err error
	switch command, arguments := os.Args[1], os.Args[2:]; command {
	case "generate":
		err = generate(arguments)
	case "serve":
		err = serve(arguments)
	default:
		err = fmt.Errorf("no command %q: say `generate` or `serve`", command)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func generate(arguments []string) error {
	flags := flag.NewFlagSet("generate", flag.ExitOnError)
	count := flags.Int("flows", 65535, "how many flows")
	seed := flags.Uint64("seed", 1, "the same seed makes the same flows")
	recent := flags.Bool("young", false, "times of the last seconds, rather than the same ones always")
	_ = flags.Parse(arguments)
	town := newTown(*seed)
	if *recent {
		town.start, town.step = time.Now().Add(-young), young/time.Duration(*count)
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := writeCorpus(out, town, *count); err != nil {
		return err
	}
	return out.Flush()
}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	load := flags.String("load", "", "JSON lines of Hubble's exporter")
	times := flags.Int("times", 1, "load them so many times over")
	capacity := flags.Int("capacity", 65535, "of the ring; a power of two minus one")
	listen := flags.String("listen", "", "where clients find it: unix:///PATH or http://HOST:PORT")
	node := flags.String("node-name", "node-0", "name of this node")
	export := flags.String("export", "", "write flows to this file by the real exporter; those that are loaded too")
	count := flags.String("metrics", "", "count flows by the real handlers of these metrics, as --hubble-metrics has them")
	_ = flags.Parse(arguments)
	nodetypes.SetName(*node)

	quiet := oracle.Quiet()
	options, err := exporting(quiet, *export)
	if err != nil {
		return err
	}
	counts, err := counting(quiet, *count)
	if err != nil {
		return err
	}
	options = append(options, counts...)
	local, err := oracle.New(quiet, *capacity, options...)
	if err != nil {
		return err
	}
	go local.Start()
	var loaded []*flowpb.Flow
	for i := range *times {
		flows, err := readCorpus(*load)
		if err != nil {
			return err
		}
		for _, flow := range flows {
			oracle.Feed(local, event(flow))
		}
		if i == 0 {
			loaded = flows
		}
	}
	if err := untilSeen(local, uint64(*times*len(loaded))); err != nil {
		return err
	}
	network, address := "unix", strings.TrimPrefix(*listen, "unix://")
	if port, isTCP := strings.CutPrefix(*listen, "http://"); isTCP {
		network, address = "tcp", port
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	server, err := oracle.Serve(quiet, local, listener)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	go obey(os.Stdin, func(rate, seconds int) (int, int) { return feed(local, loaded, rate, seconds) }, server.Stop)
	return <-done
}

// untilSeen waits until the flows that were fed are in the ring.
func untilSeen(local *observer.LocalObserverServer, flows uint64) error {
	for {
		status, err := local.ServerStatus(context.Background(), &observerpb.ServerStatusRequest{})
		if err != nil || status.SeenFlows >= flows {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// obey reads commands to the end of the input, then stops the server.
func obey(input *os.File, feed func(rate, seconds int) (offered, lost int), stop func()) {
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		var rate, seconds int
		if _, err := fmt.Sscanf(lines.Text(), "feed %d %d", &rate, &seconds); err != nil {
			log.Printf("cannot obey %q: %v", lines.Text(), err)
			continue
		}
		offered, lost := feed(rate, seconds)
		fmt.Printf("fed %d %d\n", offered, lost)
	}
	stop()
}
