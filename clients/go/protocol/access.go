package protocol

import (
	"slices"

	pb "medunion.example/clients/go/federationv1"
)

// AccessClaim is what a doctor shows to be allowed something of a patient's: nothing of it is decided here.
type AccessClaim struct {
	PatientID           string
	Grant               *pb.SignedStatement // nil without one
	PatientKeyStatement *pb.SignedStatement // by which others check the grant
}

// digest gives H(grant), or nothing without one: in c_P.
func (c AccessClaim) digest() []byte { return grantDigest(c.Grant) }

// claimedID gives the grant's id, or nothing without one: in Sig_HPC2.
func (c AccessClaim) claimedID() ([]byte, error) {
	if c.Grant == nil {
		return nil, nil
	}
	grant := &pb.Grant{}
	err := Peek(grant, c.Grant)
	return grant.GetGrantId(), err
}

// Access is why a doctor is allowed something, decided: the patient's grant held. Whoever has none is allowed nothing.
type Access struct {
	DepartmentClasses []string
	Rights            []pb.Right
}

// Allows says whether the access holds a right; servers decide this for themselves.
func (a *Access) Allows(right pb.Right) bool { return a != nil && slices.Contains(a.Rights, right) }
