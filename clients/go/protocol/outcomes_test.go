package protocol

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// TestOutcomesHaveARowEach holds both enums to the table: a value that is added to either needs a row.
func TestOutcomesHaveARowEach(t *testing.T) {
	for prefix, enum := range map[string]struct {
		values protoreflect.EnumValueDescriptors
		row    func(protoreflect.EnumNumber) outcome
	}{
		"SEARCH_OUTCOME_": {
			pb.SearchOutcome(0).Descriptor().Values(),
			func(number protoreflect.EnumNumber) outcome { return ofSearch(pb.SearchOutcome(number)) },
		},
		"SESSION_OUTCOME_": {
			pb.SessionOutcome(0).Descriptor().Values(),
			func(number protoreflect.EnumNumber) outcome { return ofSession(pb.SessionOutcome(number)) },
		},
	} {
		if enum.row(0).reason != refusal.Unauthorized {
			t.Errorf("no %s is a permission", prefix)
		}
		for i := 1; i < enum.values.Len(); i++ {
			value := enum.values.Get(i)
			name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix)), "_", "-")
			if row := enum.row(value.Number()); row.name != name {
				t.Errorf("%s is named %q", value.Name(), row.name)
			}
		}
	}
}
