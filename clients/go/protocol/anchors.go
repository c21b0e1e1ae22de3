package protocol

import (
	"crypto/ed25519"
	"crypto/x509"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

// Anchors is what a trust bundle says, checked in itself: the roots of every verification (docs/protocol.md, section 2).
type Anchors struct {
	Realm, CloudID    string
	DepartmentClasses []string
	issuers           keyHistory
	cloudKeys         keyHistory
	authorities       []authority
}

// authority is a medical authority's certificate, and whom it may certify.
type authority struct {
	*x509.Certificate
	doctorIDs []string // a doctor's ID, or a prefix of IDs and "*"
}

func (a authority) mayCertify(doctorID string) bool {
	return slices.ContainsFunc(a.doctorIDs, func(named string) bool {
		prefix, isPrefix := strings.CutSuffix(named, Any)
		return named == doctorID || isPrefix && strings.HasPrefix(doctorID, prefix)
	})
}

func readAnchors(bundle *pb.TrustBundle) (*Anchors, error) {
	if err := rules.Check(bundle); err != nil {
		return nil, err
	}
	anchors := &Anchors{Realm: bundle.GetRealm(), CloudID: bundle.GetCloudId(), DepartmentClasses: bundle.GetDepartmentClasses()}
	for _, named := range bundle.GetMedicalAuthorities() {
		certificate, err := x509.ParseCertificate(named.GetCertificate())
		if err != nil {
			return nil, refusal.Because(err, refusal.MalformedMessage, "a medical authority's certificate in the trust bundle is none")
		}
		anchors.authorities = append(anchors.authorities, authority{certificate, named.GetDoctorIds()})
	}
	var err error
	if anchors.issuers, err = readHistory(bundle.GetIssuers()); err != nil {
		return nil, err
	}
	anchors.cloudKeys, err = readHistory(bundle.GetCloudKeys())
	return anchors, err
}

// Publishes says whether a department class is on the federation's list.
func (a *Anchors) Publishes(class string) bool { return slices.Contains(a.DepartmentClasses, class) }

// issuerAt gives the PK that signed a credential of that begin. Refuses with ISSUER_UNKNOWN, ISSUER_REVOKED.
func (a *Anchors) issuerAt(notBefore Instant) ([]byte, error) {
	period := a.issuers.at(notBefore)
	if period == nil {
		return nil, refusal.New(refusal.IssuerUnknown, "the trust bundle at hand names no PK for the time of the credential")
	}
	if isRevoked(period) {
		return nil, refusal.New(refusal.IssuerRevoked, "the PK of the credential is revoked")
	}
	return period.GetVerifyingKey(), nil
}

// cloudKeyAt gives the PUK_C of what the cloud signed at that moment. Refuses with CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED.
func (a *Anchors) cloudKeyAt(moment Instant) (ed25519.PublicKey, error) {
	return cloudKey(a.cloudKeys.at(moment))
}

// cloudKeyOf gives the PUK_C that EK_C names: begun by now, and not ended when the epoch begins.
func (a *Anchors) cloudKeyOf(statement *pb.EncryptionKeyStatement, now Instant) (ed25519.PublicKey, error) {
	period := a.cloudKeys.ofDigest(statement.GetVerifyingKeyDigest())
	if period != nil && (!hasBegun(period, now) || hasEnded(period, statement.GetNotBefore())) {
		period = nil
	}
	return cloudKey(period)
}

func cloudKey(period *pb.KeyPeriod) (ed25519.PublicKey, error) {
	if period == nil {
		return nil, refusal.New(refusal.CloudKeyUnknown, "the trust bundle at hand names no PUK_C for the time of the statement")
	}
	if isRevoked(period) {
		return nil, refusal.New(refusal.CloudKeyRevoked, "the PUK_C of the statement is revoked")
	}
	return period.GetVerifyingKey(), nil
}

// open verifies a statement by the PRK_C of the time that it states itself, and gives it.
func (a *Anchors) open(label string, into proto.Message, signed *pb.SignedStatement) error {
	if err := Peek(into, signed); err != nil {
		return err
	}
	key, err := a.cloudKeyAt(statedAt(into))
	if err != nil {
		return err
	}
	return OpenStatement(label, into, signed, key)
}

func statedAt(statement proto.Message) Instant {
	switch found := statement.(type) {
	case *pb.KeyStatement:
		return found.GetStatedAt()
	case *pb.RevocationList:
		return found.GetThisUpdate()
	case *pb.RenewalReceipt:
		return found.GetDoneAt()
	case *pb.PublicationReceipt:
		return found.GetDoneAt()
	default:
		return 0
	}
}
