package protocol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const doctorID = "D:chen"

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// office is a medical authority that certifies one doctor, and what a doctor's peers have at hand of it.
type office struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	doctor      *ecdsa.PrivateKey
	issued      x509.Certificate // the template of Cert_D
	scope       []string
	crls        [][]byte
	pinned      []byte
	number      *big.Int // of the pin; nil for none
}

func newOffice(t *testing.T) *office {
	t.Helper()
	made := &office{scope: []string{doctorID}, key: newKey(t), doctor: newKey(t)}
	made.certify(t, noon.Add(time.Hour))
	made.issued = x509.Certificate{
		SerialNumber:          big.NewInt(7),
		NotBefore:             noon.Add(-time.Hour),
		NotAfter:              noon.Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{{Scheme: "urn", Opaque: "medunion:" + doctorID}},
	}
	made.publish(t, 5, nil)
	made.pin(0)
	return made
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (o *office) certify(t *testing.T, notAfter time.Time) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: noon.Add(-time.Hour), NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, o.key.Public(), o.key)
	if err == nil {
		o.certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publish adds a CRL of this number that the template alters.
func (o *office) publish(t *testing.T, number int64, alter func(*x509.RevocationList)) {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: noon.Add(-time.Minute), NextUpdate: noon.Add(time.Minute)}
	if alter != nil {
		alter(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, o.certificate, o.key)
	if err != nil {
		t.Fatal(err)
	}
	o.crls = append(o.crls, der)
}

// pin has the revocation list name this CRL.
func (o *office) pin(which int) {
	crl, err := x509.ParseRevocationList(o.crls[which])
	if err != nil {
		panic(err)
	}
	o.number, o.pinned = crl.Number, transcript.Digest(o.crls[which])
}

func (o *office) verify(t *testing.T) error {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &o.issued, o.certificate, o.doctor.Public(), o.key)
	if err != nil {
		t.Fatal(err)
	}
	lists := Lists{head: &pb.RevocationHead{}}
	if o.number != nil {
		pin := &pb.CrlPin{CertificateDigest: transcript.Digest(o.certificate.Raw), Number: o.number.Bytes(), Digest: o.pinned}
		lists.head.Crls = append(lists.head.Crls, pin)
	}
	for _, each := range o.crls {
		crl, err := x509.ParseRevocationList(each)
		if err != nil {
			t.Fatal(err)
		}
		lists.crls = append(lists.crls, crl)
	}
	anchors := &Anchors{authorities: []authority{{"M:board", o.certificate, o.scope}}}
	named, err := verifyCertificate(der, anchors, lists, doctorID, verifyingKey(t, o.doctor), Instant(noon.UnixMilli()))
	if err == nil && named.id != "M:board" {
		t.Errorf("the authority is %s", named.id)
	}
	return err
}

func with(id asn1.ObjectIdentifier, critical bool) func(*x509.RevocationList) {
	return func(crl *x509.RevocationList) {
		crl.ExtraExtensions = append(crl.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: asn1.NullBytes})
	}
}

func revoking(serial int64) func(*x509.RevocationList) {
	return func(crl *x509.RevocationList) {
		crl.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: noon}}
	}
}

func TestCRL(t *testing.T) {
	for name, tried := range map[string]struct {
		bend   func(*testing.T, *office)
		reason refusal.Reason
	}{
		"the pinned one":                 {func(*testing.T, *office) {}, ""},
		"none":                           {func(_ *testing.T, o *office) { o.crls = nil }, refusal.RevocationListStale},
		"no pin":                         {func(_ *testing.T, o *office) { o.number = nil }, refusal.RevocationListStale},
		"the pin's number, and another":  {func(_ *testing.T, o *office) { o.pinned = make([]byte, 32) }, refusal.RevocationListStale},
		"one of before the pin":          {func(_ *testing.T, o *office) { o.number = big.NewInt(6) }, refusal.RevocationListStale},
		"one of after the pin":           {func(_ *testing.T, o *office) { o.number = big.NewInt(4) }, ""},
		"that revokes":                   {func(t *testing.T, o *office) { o.publish(t, 6, revoking(7)) }, refusal.CertificateRevoked},
		"the newest revokes nobody":      {func(t *testing.T, o *office) { o.publish(t, 6, nil); o.publish(t, 5, revoking(7)) }, ""},
		"yesterday's beside today's":     {func(t *testing.T, o *office) { o.publish(t, 6, revoking(7)); o.publish(t, 4, nil) }, refusal.CertificateRevoked},
		"another serial":                 {func(t *testing.T, o *office) { o.publish(t, 6, revoking(8)) }, ""},
		"a delta of a higher number":     {func(t *testing.T, o *office) { o.publish(t, 6, with(deltaCRLIndicator, true)) }, ""},
		"a delta alone":                  {replaced(with(deltaCRLIndicator, true)), refusal.RevocationListStale},
		"a delta that isn't critical":    {replaced(with(deltaCRLIndicator, false)), refusal.RevocationListStale},
		"a part by distribution point":   {replaced(with(issuingDistributionPoint, true)), refusal.RevocationListStale},
		"a part, not marked critical":    {replaced(with(issuingDistributionPoint, false)), refusal.RevocationListStale},
		"an unknown critical extension":  {replaced(with(asn1.ObjectIdentifier{1, 2, 3}, true)), refusal.RevocationListStale},
		"an unknown extension":           {replaced(with(asn1.ObjectIdentifier{1, 2, 3}, false)), ""},
		"an entry of another issuer":     {replaced(entryWithIssuer), refusal.RevocationListStale},
		"one that ran out":               {replaced(func(crl *x509.RevocationList) { crl.NextUpdate = noon }), refusal.RevocationListStale},
		"one of tomorrow":                {replaced(func(crl *x509.RevocationList) { crl.ThisUpdate = noon.Add(time.Second) }), refusal.RevocationListStale},
		"signed by somebody of its name": {forged, refusal.RevocationListStale},
	} {
		o := newOffice(t)
		tried.bend(t, o)
		if err := o.verify(t); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

// replaced has one CRL, which is altered and pinned.
func replaced(alter func(*x509.RevocationList)) func(*testing.T, *office) {
	return func(t *testing.T, o *office) {
		o.crls = nil
		o.publish(t, 5, alter)
		o.pin(0)
	}
}

func entryWithIssuer(crl *x509.RevocationList) {
	revoking(8)(crl)
	certificateIssuer := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: asn1.NullBytes}
	crl.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{certificateIssuer}
}

func forged(t *testing.T, o *office) {
	other := newOffice(t)
	o.crls = other.crls
	o.pin(0)
}

func TestCertificate(t *testing.T) {
	server, documents := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []asn1.ObjectIdentifier{documentSigning}
	criticalServer := pkix.Extension{Id: extendedKeyUsage, Critical: true, Value: []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1}}
	criticalClient := pkix.Extension{Id: extendedKeyUsage, Critical: true, Value: []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2}}
	for name, tried := range map[string]struct {
		bend   func(*testing.T, *office)
		reason refusal.Reason
	}{
		"for servers":              {func(_ *testing.T, o *office) { o.issued.ExtKeyUsage = server }, refusal.CertificateIllegal},
		"for servers, critical":    {func(_ *testing.T, o *office) { o.issued.ExtraExtensions = []pkix.Extension{criticalServer} }, refusal.CertificateIllegal},
		"for clients, critical":    {func(_ *testing.T, o *office) { o.issued.ExtraExtensions = []pkix.Extension{criticalClient} }, ""},
		"for clients":              {func(_ *testing.T, o *office) { o.issued.ExtKeyUsage = append(server, x509.ExtKeyUsageClientAuth) }, ""},
		"for anything":             {func(_ *testing.T, o *office) { o.issued.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, ""},
		"for documents":            {func(_ *testing.T, o *office) { o.issued.UnknownExtKeyUsage = documents }, ""},
		"for nobody":               {func(_ *testing.T, o *office) { o.scope = nil }, refusal.CertificateOutOfScope},
		"for another doctor":       {func(_ *testing.T, o *office) { o.scope = []string{"D:chen2", "D:che", "D:b*"} }, refusal.CertificateOutOfScope},
		"for doctors of a prefix":  {func(_ *testing.T, o *office) { o.scope = []string{"D:b*", "D:ch*"} }, ""},
		"for all doctors":          {func(_ *testing.T, o *office) { o.scope = []string{"D:*"} }, ""},
		"by an authority of after": {func(t *testing.T, o *office) { o.certify(t, noon) }, refusal.CertificateExpired},
	} {
		o := newOffice(t)
		tried.bend(t, o)
		if err := o.verify(t); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

func TestRelaysListsLeaveTheCRLsOfOtherAuthoritiesAtHand(t *testing.T) {
	here, elsewhere, stranger := newOffice(t), newOffice(t), newOffice(t)
	here.publish(t, 6, nil)
	stranger.publish(t, 9, nil)
	read := func(ders ...[]byte) (crls []*x509.RevocationList) {
		for _, der := range ders {
			crl, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			crls = append(crls, crl)
		}
		return crls
	}
	list, anchors := &pb.RevocationHead{}, &Anchors{}
	for _, each := range []*office{here, elsewhere} {
		anchors.authorities = append(anchors.authorities, authority{"M:board", each.certificate, each.scope})
		pin := &pb.CrlPin{CertificateDigest: transcript.Digest(each.certificate.Raw), Number: each.number.Bytes(), Digest: each.pinned}
		list.Crls = append(list.Crls, pin)
	}
	kept := Lists{crls: read(here.crls[0], elsewhere.crls[0])}
	for name, handed := range map[string][]byte{"newer": here.crls[1], "made up": stranger.crls[1]} {
		merged := Lists{head: list, crls: read(handed)}.WithKept(kept, anchors)
		if len(merged.CRLs()) != 2 {
			t.Errorf("%s: %d CRLs", name, len(merged.CRLs()))
		}
		newest, err := merged.currentCRL(here.certificate, noon)
		if err != nil || newest.Number.Int64() != map[string]int64{"newer": 6, "made up": 5}[name] {
			t.Errorf("%s: CRL %v: %v", name, newest, err)
		}
		if _, err := merged.currentCRL(elsewhere.certificate, noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
