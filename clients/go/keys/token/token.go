//go:build cgo

package token

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"github.com/miekg/pkcs11"

	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

// Labels, the only names of keys; the Python client has the same.
const (
	identityLabel = "identity"
	sealingLabel  = "sealing"
)

// Token is a keys.Store in a token. Safe for several goroutines: they take turns at its one session.
type Token struct {
	keys.AtRest
	module  *pkcs11.Ctx
	session pkcs11.SessionHandle
	turn    sync.Mutex
	signer  *signer
}

// Open opens the token that an RFC 7512 URI names, with the user's PIN, which is presented once. With create the party's keys are made
// there, and refused with KEY_INVALID where there are some already. Refuses with TOKEN_URI_INVALID, TOKEN_NOT_FOUND, TOKEN_UNAVAILABLE,
// PIN_INCORRECT, PIN_LOCKED, PIN_FINAL_TRY, KEY_NOT_FOUND.
func Open(uri, pin string, create bool) (keys.Store, error) {
	where, err := parse(uri)
	if err != nil {
		return nil, err
	}
	module := pkcs11.New(where.module)
	if module == nil {
		return nil, refusal.New(refusal.TokenUnavailable, "the PKCS#11 module can't be loaded")
	}
	token := &Token{module: module}
	if err := module.Initialize(); err != nil {
		module.Destroy()
		return nil, unavailable(err)
	}
	if err := token.enter(where, pin); err != nil {
		token.Close()
		return nil, err
	}
	if create {
		err = token.createIdentity()
	}
	if err == nil {
		err = token.openIdentity()
	}
	if err != nil {
		token.Close()
		return nil, err
	}
	return token, nil
}

// Signer gives PRK_X.
func (t *Token) Signer() crypto.Signer { return t.signer }

// Close ends the session and unloads the module. Errors on the way out help nobody.
func (t *Token) Close() error {
	t.module.Logout(t.session)
	t.module.CloseSession(t.session)
	t.module.Finalize()
	t.module.Destroy()
	return nil
}

func (t *Token) enter(where location, pin string) error {
	slot, info, err := t.find(where)
	if err != nil {
		return err
	}
	if err := refuseRiskyLogin(info); err != nil {
		return err
	}
	if t.session, err = t.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return unavailable(err)
	}
	return refusedLogin(t.module.Login(t.session, pkcs11.CKU_USER, pin))
}

// refuseRiskyLogin refuses with PIN_LOCKED or PIN_FINAL_TRY if the token says that a login is no use, or may be the last: a program does
// not spend a person's last try.
func refuseRiskyLogin(info pkcs11.TokenInfo) error {
	switch {
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return refusal.New(refusal.PinLocked, "the PIN of the token %q is locked", info.Label)
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return refusal.New(refusal.PinFinalTry, "the token %q allows one more try: log in by its maker's tool first", info.Label)
	default:
		return nil
	}
}

func refusedLogin(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_LOCKED)):
		return refusal.Because(err, refusal.PinLocked, "the token has locked its PIN")
	case errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_INCORRECT)), errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_INVALID)),
		errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_LEN_RANGE)):
		return refusal.Because(err, refusal.PinIncorrect, "the token does not take the PIN")
	default:
		return unavailable(err)
	}
}

// find gives the slot of the one token that the URI names.
func (t *Token) find(where location) (uint, pkcs11.TokenInfo, error) {
	slots, err := t.module.GetSlotList(true)
	if err != nil {
		return 0, pkcs11.TokenInfo{}, unavailable(err)
	}
	var fitting []uint
	var found pkcs11.TokenInfo
	for _, slot := range slots {
		info, err := t.module.GetTokenInfo(slot)
		if err == nil && fits(where.label, info.Label) && fits(where.serial, info.SerialNumber) &&
			fits(where.manufacturer, info.ManufacturerID) && fits(where.model, info.Model) {
			fitting, found = append(fitting, slot), info
		}
	}
	if len(fitting) != 1 {
		return 0, found, refusal.New(refusal.TokenNotFound, "%d tokens are what the URI names", len(fitting))
	}
	return fitting[0], found, nil
}

func fits(wanted, has string) bool { return wanted == "" || wanted == has }

// createIdentity makes the two keys that a party has but for its epochs' and S_X.
func (t *Token) createIdentity() error {
	for _, label := range []string{identityLabel, sealingLabel} {
		if there, err := t.search(label); err != nil || len(there) > 0 {
			return errors.Join(err, refusal.New(refusal.KeyInvalid, "the token holds a key %q already", label))
		}
	}
	if _, err := t.generate(identityLabel, pkcs11.CKA_SIGN); err != nil {
		return err
	}
	_, err := t.generate(sealingLabel, pkcs11.CKA_DERIVE)
	return err
}

func (t *Token) openIdentity() error {
	sealing, err := t.Agreement(sealingLabel)
	if err != nil {
		return err
	}
	t.AtRest = keys.SealingBy(sealing)
	t.signer, err = t.openSigner()
	return err
}

// generate makes a pair, and gives its public half, uncompressed.
func (t *Token) generate(label string, usage uint) ([]byte, error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	id := random(16)
	half, _, err := t.module.GenerateKeyPair(t.session, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN), named(label, id, public(usage)),
		named(label, id, guarded(usage)))
	if err != nil {
		return nil, unavailable(err)
	}
	return t.pointOf(half)
}

// Generate makes a key for agreement in the token.
func (t *Token) Generate(label string) (keys.AgreementKey, *ecdh.PublicKey, error) {
	point, err := t.generate(label, pkcs11.CKA_DERIVE)
	if err != nil {
		return nil, nil, err
	}
	public, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	key, err := t.Agreement(label)
	return key, public, err
}

// Import takes a key for agreement into the token.
func (t *Token) Import(label string, scalar []byte) (keys.AgreementKey, error) {
	if _, err := ecdh.P256().NewPrivateKey(scalar); err != nil { // a token may not look
		return nil, refusal.New(refusal.KeyInvalid, "a key of P-256 is 32 bytes, from 1 to n - 1")
	}
	if err := t.Destroy(label); err != nil {
		return nil, err
	}
	template := append(named(label, random(16), guarded(pkcs11.CKA_DERIVE)),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256OID),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, scalar))
	t.turn.Lock()
	_, err := t.module.CreateObject(t.session, template)
	t.turn.Unlock()
	if err != nil {
		return nil, unavailable(err)
	}
	return t.Agreement(label)
}

// Agreement opens a key for agreement.
func (t *Token) Agreement(label string) (keys.AgreementKey, error) {
	handle, err := t.private(label)
	if err != nil {
		return nil, err
	}
	return &agreementKey{t, handle}, nil
}

// Destroy removes every object of the label.
func (t *Token) Destroy(label string) error {
	there, err := t.search(label)
	if err != nil {
		return err
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	for _, handle := range there {
		if err := t.module.DestroyObject(t.session, handle); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// private gives the one private key of a label, once the token says that it can't be read.
func (t *Token) private(label string) (pkcs11.ObjectHandle, error) {
	found, err := t.search(label, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))
	if err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, refusal.New(refusal.KeyNotFound, "the token holds %d keys %q", len(found), label)
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	told, err := t.module.GetAttributeValue(t.session, found[0], []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return 0, unavailable(err)
	}
	if !slices.Equal(told[0].Value, []byte{1}) || !slices.Equal(told[1].Value, []byte{0}) {
		return 0, refusal.New(refusal.KeyInvalid, "the key %q can be read out of the token", label)
	}
	return found[0], nil
}

func (t *Token) search(label string, more ...*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if err := t.module.FindObjectsInit(t.session, append(more, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))); err != nil {
		return nil, unavailable(err)
	}
	found, _, err := t.module.FindObjects(t.session, 8)
	if ended := t.module.FindObjectsFinal(t.session); err == nil {
		err = ended
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

func mechanism(kind uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(kind, nil)}
}

func unavailable(err error) error {
	return refusal.Because(err, refusal.TokenUnavailable, "the token does not do what it was asked")
}

func random(size int) []byte {
	drawn := make([]byte, size)
	rand.Read(drawn)
	return drawn
}
