package differential

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// judge is Sextant's policy engine in a process of its own: a line with a question in, a line with the answer out.
type judge struct {
	sync.Mutex
	questions io.WriteCloser
	answers   *bufio.Reader
}

// startJudge runs the program that $POLICY_JUDGE names, until the end of the test.
func startJudge(t *testing.T) *judge {
	t.Helper()
	program := os.Getenv("POLICY_JUDGE")
	if program == "" {
		t.Fatal(`POLICY_JUDGE is not set; "make differential" builds the judge and sets it`)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Stderr = os.Stderr
	questions, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = questions.Close()
		_ = command.Wait()
	})
	return &judge{questions: questions, answers: bufio.NewReader(answers)}
}

func (j *judge) ask(question policyQuestion) (answer policyAnswer, err error) {
	line, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	j.Lock()
	defer j.Unlock()
	if _, err := j.questions.Write(append(line, '\n')); err != nil {
		return answer, fmt.Errorf("the judge takes no more questions: %w", err)
	}
	reply, err := j.answers.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("the judge gives no answer to %s: %w", line, err)
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return answer, fmt.Errorf("the judge answers %q: %w", reply, err)
	}
	if answer.Error == "" && len(answer.Verdicts) != len(question.Cases) {
		return answer, fmt.Errorf("the judge gives %d verdicts for %d cases", len(answer.Verdicts), len(question.Cases))
	}
	return answer, nil
}
