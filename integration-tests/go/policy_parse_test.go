package differential

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"

	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2/validator"
	slimnetworkingv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/policy/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"sextant/integration-tests/oracle"
)

// clusterName is what an agent is called whose cluster has no name.
const clusterName = "default"

// parsedPolicy is one document as the repository takes it.
type parsedPolicy struct {
	resource ipcachetypes.ResourceID
	entries  types.PolicyEntries
}

// schemaValidator checks against the CRDs, as the API server does before the agent sees a policy.
var schemaValidator = sync.OnceValues(func() (*validator.NPValidator, error) {
	return validator.NewNPValidator(oracle.Quiet())
})

// parsePolicies reads documents as upstream would get them: checked against the schema by the API server, then by the agent.
func parsePolicies(text string) ([]parsedPolicy, error) {
	var parsed []parsedPolicy
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(text))))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return parsed, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		policy, err := parsePolicy(oracle.Quiet(), document)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, policy)
	}
}

func parsePolicy(log *slog.Logger, document []byte) (parsedPolicy, error) {
	asJSON, err := yaml.YAMLToJSON(document)
	if err != nil {
		return parsedPolicy{}, err
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(asJSON, object); err != nil {
		return parsedPolicy{}, err
	}
	switch object.GetAPIVersion() + " " + object.GetKind() {
	case "cilium.io/v2 CiliumNetworkPolicy", "cilium.io/v2 CiliumClusterwideNetworkPolicy":
		return parseCilium(log, object)
	case "networking.k8s.io/v1 NetworkPolicy":
		return parseKubernetes(log, asJSON)
	}
	return parsedPolicy{}, fmt.Errorf("%q of %q is no policy", object.GetKind(), object.GetAPIVersion())
}

func parseCilium(log *slog.Logger, object *unstructured.Unstructured) (parsedPolicy, error) {
	if err := validateSchema(object); err != nil {
		return parsedPolicy{}, err
	}
	if object.GetKind() == "CiliumNetworkPolicy" && object.GetNamespace() == "" {
		object.SetNamespace("default")
	}
	asJSON, err := object.MarshalJSON()
	if err != nil {
		return parsedPolicy{}, err
	}
	policy := ciliumv2.CiliumNetworkPolicy{}
	if err := json.Unmarshal(asJSON, &policy); err != nil {
		return parsedPolicy{}, err
	}
	if object.GetKind() == "CiliumClusterwideNetworkPolicy" {
		policy.Namespace = ""
	}
	rules, err := policy.Parse(log, clusterName)
	if err != nil {
		return parsedPolicy{}, err
	}
	resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKind(object.GetKind()), policy.Namespace, policy.Name)
	return parsedPolicy{resource, utils.RulesToPolicyEntries(rules)}, nil
}

func validateSchema(object *unstructured.Unstructured) error {
	schema, err := schemaValidator()
	if err != nil {
		return err
	}
	known := &unstructured.Unstructured{Object: knownToSchema("", object.DeepCopy().Object).(map[string]any)}
	if object.GetKind() == "CiliumNetworkPolicy" {
		return schema.ValidateCNP(known)
	}
	return schema.ValidateCCNP(known)
}

// knownToSchema is a document without what the agent takes and the schema does not know: two entities, addresses among CIDRs, and what
// upstream's validator calls an unknown field because it does not write it: an endPort of zero, a description or protocol of nothing.
func knownToSchema(field string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		if end, isNumber := value["endPort"].(int64); isNumber && end == 0 {
			delete(value, "endPort")
		}
		for _, key := range []string{"description", "protocol"} {
			if value[key] == "" {
				delete(value, key)
			}
		}
		for key, part := range value {
			value[key] = knownToSchema(key, part)
		}
	case []any:
		for i := range value {
			value[i] = knownToSchema(field, value[i])
		}
	case string:
		switch address, err := netip.ParseAddr(value); {
		case (field == "fromEntities" || field == "toEntities") && (value == "world-ipv4" || value == "world-ipv6"):
			return "world"
		case (field == "fromCIDR" || field == "toCIDR") && err == nil && address.Zone() == "":
			return netip.PrefixFrom(address, address.BitLen()).String()
		}
	}
	return value
}

func parseKubernetes(log *slog.Logger, asJSON []byte) (parsedPolicy, error) {
	policy := slimnetworkingv1.NetworkPolicy{}
	if err := json.Unmarshal(asJSON, &policy); err != nil {
		return parsedPolicy{}, err
	}
	entries, err := k8s.ParseNetworkPolicy(log, clusterName, &policy)
	if err != nil {
		return parsedPolicy{}, err
	}
	namespace := policy.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return parsedPolicy{ipcachetypes.NewResourceID("NetworkPolicy", namespace, policy.Name), entries}, nil
}
