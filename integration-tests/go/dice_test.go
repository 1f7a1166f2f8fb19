package differential

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"testing"
)

const (
	defaultSeed     = 20
	defaultRequests = 2400
)

// seed is $SEXTANT_SEED, a fixed number by default, and a new one each time for SEXTANT_SEED=random.
func seed(t *testing.T) uint64 {
	t.Helper()
	return seedOf(t, "SEXTANT_SEED", defaultSeed)
}

// seedOf is what the variable says, the fixed number by default, and a new one each time for "random".
func seedOf(t *testing.T, variable string, fixed uint64) uint64 {
	t.Helper()
	chosen := fixed
	switch text := os.Getenv(variable); text {
	case "":
	case "random":
		var bytes [8]byte
		_, _ = rand.Read(bytes[:])
		chosen = binary.LittleEndian.Uint64(bytes[:]) >> 32
	default:
		var err error
		if chosen, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
	}
	t.Logf("seed %d (again with %s=%d)", chosen, variable, chosen)
	return chosen
}

// requestCount is $SEXTANT_REQUESTS, or the default.
func requestCount(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SEXTANT_REQUESTS")
	if text == "" {
		return defaultRequests
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SEXTANT_REQUESTS: %v", err)
	}
	return count
}

// dice is a source of chance that repeats for the same seed. Each purpose has its own stream, so that one more draw in the corpus
// does not change the requests.
type dice struct{ *mathrand.Rand }

func newDice(seed, purpose uint64) dice {
	return dice{mathrand.New(mathrand.NewPCG(seed, purpose))}
}

// chance is true in percent of a hundred cases.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d dice, options []T) T { return options[d.IntN(len(options))] }

// some picks from options between least and most times, repetition allowed.
func some[T any](d dice, least, most int, options []T) []T {
	var picked []T
	for range least + d.IntN(most-least+1) {
		picked = append(picked, pick(d, options))
	}
	return picked
}

// number draws from the small, the usual and the largest values of an unsigned integer of the given width.
func (d dice) number(bits int) uint64 {
	largest := ^uint64(0) >> (64 - bits)
	switch d.IntN(4) {
	case 0:
		return d.Uint64N(4)
	case 1:
		return largest
	default:
		return d.Uint64() & largest >> d.IntN(bits)
	}
}
