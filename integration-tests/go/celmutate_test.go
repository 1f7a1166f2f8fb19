package differential

import (
	"regexp"
	"slices"
	"strings"
)

// randomCEL is a hand-written expression, two of them joined, or one with a token too few, too many or wrong. The last ones are mostly
// refused, and both servers must agree which are not.
func randomCEL(d dice) string {
	switch {
	case d.chance(60):
		return pick(d, celExpressions)
	case d.chance(60):
		return joinedCEL(d)
	}
	return damagedCEL(d)
}

func joinedCEL(d dice) string {
	a, b, c := pick(d, celExpressions), pick(d, celExpressions), pick(d, plainCEL)
	return pick(d, []string{
		"(" + a + ") && (" + b + ")",
		"(" + a + ") || (" + b + ")",
		"!(" + a + ")",
		a + " || " + b + " && !(" + c + ")",
		c + " ? " + a + " : " + b,
		"(" + a + ") == (" + b + ")",
		"[" + a + ", " + b + "].exists(e, e)",
		"[" + a + ", " + b + "].all(e, e || " + c + ")",
	})
}

var celToken = regexp.MustCompile(`[[:alpha:]_][\w]*|[0-9.]+u?|"[^"]*"|'[^']*'|\s+|[=!<>&|]=?|.`)

func damagedCEL(d dice) string {
	tokens := celToken.FindAllString(pick(d, append(plainCEL[:len(plainCEL):len(plainCEL)], hardCEL...)), -1)
	other := celToken.FindAllString(pick(d, hardCEL), -1)
	at := d.IntN(len(tokens))
	switch d.IntN(4) {
	case 0:
		tokens = slices.Delete(tokens, at, at+1)
	case 1:
		tokens = slices.Insert(tokens, at, tokens[at])
	case 2:
		tokens[at] = pick(d, other)
	default:
		tokens = slices.Insert(tokens, at, pick(d, other))
	}
	return strings.Join(tokens, "")
}
