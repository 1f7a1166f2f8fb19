package differential

import (
	"maps"
	"slices"
)

// shrink takes parts from a disagreement as long as the engines still disagree in the same way.
func (c *comparison) shrink(found disagreement) disagreement {
	for {
		smaller, ok := c.shrinkOnce(found)
		if !ok {
			return found
		}
		found = smaller
	}
}

func (c *comparison) shrinkOnce(found disagreement) (disagreement, bool) {
	for _, candidate := range found.set.reductions() {
		question := candidate.question()
		want := askUpstream(question)
		got, err := c.judge.ask(question)
		if err != nil {
			return found, false
		}
		one := disagreement{candidate, want, got}
		if one.way() == found.way() && !one.meant() {
			return one, true
		}
	}
	return found, false
}

// reductions are sets that each lack one part: a document or a part of one, an endpoint, a label.
func (s policySet) reductions() []policySet {
	var sets []policySet
	for _, documents := range withoutOne(s.documents) {
		reduced := s
		reduced.documents = documents
		sets = append(sets, reduced)
	}
	for i, document := range s.documents {
		for _, part := range partsMissing(document) {
			reduced := s
			reduced.documents = slices.Clone(s.documents)
			reduced.documents[i] = part
			sets = append(sets, reduced)
		}
	}
	for i := range s.endpoints {
		if reduced, ok := s.withoutEndpoint(i); ok {
			sets = append(sets, reduced)
		}
		for _, labels := range withoutOne(s.endpoints[i].Labels) {
			if len(labels) > 0 {
				sets = append(sets, s.withEndpoint(i, policyEndpoint{labels, s.endpoints[i].NamedPorts}))
			}
		}
		for name := range s.endpoints[i].NamedPorts {
			ports := maps.Clone(s.endpoints[i].NamedPorts)
			delete(ports, name)
			sets = append(sets, s.withEndpoint(i, policyEndpoint{s.endpoints[i].Labels, ports}))
		}
	}
	return sets
}

// withoutEndpoint is the set without an endpoint that no case needs.
func (s policySet) withoutEndpoint(gone int) (policySet, bool) {
	moved := func(index int) int {
		if index > gone {
			return index - 1
		}
		return index
	}
	cases := slices.Clone(s.cases)
	for i := range cases {
		if cases[i].Subject == gone || cases[i].Peer.Endpoint != nil && *cases[i].Peer.Endpoint == gone {
			return s, false
		}
		cases[i].Subject = moved(cases[i].Subject)
		if peer := cases[i].Peer.Endpoint; peer != nil {
			index := moved(*peer)
			cases[i].Peer.Endpoint = &index
		}
	}
	s.cases = cases
	s.endpoints = slices.Delete(slices.Clone(s.endpoints), gone, gone+1)
	return s, true
}

func (s policySet) withEndpoint(index int, endpoint policyEndpoint) policySet {
	s.endpoints = slices.Clone(s.endpoints)
	s.endpoints[index] = endpoint
	return s
}

func withoutOne[T any](list []T) [][]T {
	var lists [][]T
	for i := range list {
		lists = append(lists, slices.Delete(slices.Clone(list), i, i+1))
	}
	return lists
}

// partsMissing are copies of a tree that each lack one part.
func partsMissing(whole any) []any {
	var parts []any
	switch whole := whole.(type) {
	case tree:
		for _, key := range slices.Sorted(maps.Keys(whole)) {
			without := maps.Clone(whole)
			delete(without, key)
			parts = append(parts, without)
			for _, part := range partsMissing(whole[key]) {
				with := maps.Clone(whole)
				with[key] = part
				parts = append(parts, with)
			}
		}
	case []any:
		for i := range whole {
			if len(whole) > 1 {
				parts = append(parts, slices.Delete(slices.Clone(whole), i, i+1))
			}
			for _, part := range partsMissing(whole[i]) {
				with := slices.Clone(whole)
				with[i] = part
				parts = append(parts, with)
			}
		}
	}
	return parts
}
