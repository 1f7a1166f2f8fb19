package differential

// meantMetricDifference is a way in which metrics of sextantd are not those of upstream, on purpose.
type meantMetricDifference struct {
	name   string
	reason string
	// amend makes of the labels of one of upstream's series those that it means, and says whether they were others.
	amend func(family string, labels map[string]string) bool
	seen  int
}

// meantMetricDifferences is the one list of them. What configurations sextantd refuses, and upstream does not, is in metricsRefused.
var meantMetricDifferences = []*meantMetricDifference{
	{
		name: "rcode under another name",
		reason: "upstream appends the label names of three DNS metrics to one slice. Where it has room left, with five labels of the context " +
			"or nine to thirteen, names of the third metric overwrite those of the others: the response code of queries and responses is then " +
			"in a label type. sextantd calls it rcode always, as upstream does with any other number of labels.",
		amend: amendResponseCode,
	},
}

func amendMetric(family string, labels map[string]string) {
	for _, meant := range meantMetricDifferences {
		if meant.amend(family, labels) {
			meant.seen++
		}
	}
}

func amendResponseCode(family string, labels map[string]string) bool {
	code, is := labels["type"]
	if !is || (family != "hubble_dns_queries_total" && family != "hubble_dns_responses_total") {
		return false
	}
	delete(labels, "type")
	labels["rcode"] = code
	return true
}
