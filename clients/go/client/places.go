package client

import (
	"bytes"
	"context"
	"time"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// brought gives where records are by what the patient brought, for the public cloud does not answer: each hospital that the grant covers is
// asked who it is, and one that does not say is told, and nothing more. Refuses as protocol.ReadPlaces.
func (d *Doctor) brought(ctx context.Context, present *protocol.InConsultation) (locations []protocol.RecordLocation, err error) {
	d.Member.hearHead(present.Places().GetRevocationHead())
	known, err := protocol.ReadPlaces(present.Places(), present.Shown.PatientID, d.Member.Verifier(), d.Member.clock())
	if err != nil {
		return nil, err
	}
	asOf := time.UnixMilli(int64(known.AsOf)).Format(time.DateTime)
	d.Tell("The public cloud does not answer. The patient's device says where records are, as of " + asOf + ". SOME MAY BE MISSING.")
	for _, place := range known.Hospitals {
		if !access.Covers(present.Grant.Hospitals, place.ID) {
			continue
		}
		hospital, err := onceMore(ctx, func() (*protocol.Peer, error) { return d.address(ctx, place.Address, place.ID) })
		if err != nil {
			d.Tell("RECORDS AT " + place.ID + " ARE MISSING: " + refusal.Plain(err))
			continue
		}
		for _, department := range place.Departments {
			if !access.Covers(present.Grant.DepartmentClasses, classOf(department.GetDepartmentId())) {
				continue
			}
			for _, handle := range department.GetHandles() {
				locations = append(locations, protocol.RecordLocation{
					Hospital: hospital, Address: place.Address, DepartmentID: department.GetDepartmentId(), Handle: handle,
				})
			}
		}
	}
	return locations, nil
}

// hearHead takes a newer head of the same set; of another set its shards could not be asked for, and nobody would be verified.
func (m *Member) hearHead(signed *pb.SignedStatement) {
	head := &pb.RevocationHead{}
	if protocol.Peek(head, signed) == nil && bytes.Equal(head.GetRoot(), m.lists.Head().GetRoot()) && head.GetSequence() > m.lists.Sequence() {
		m.hear(&pb.RevocationExcerpt{Head: signed})
	}
}
