package curve

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"testing"

	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/refusal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	value, err := hex.DecodeString(text)
	must(t, err)
	return value
}

// TestHashToCurve is appendix J.1.1 of RFC 9380.
func TestHashToCurve(t *testing.T) {
	const tag = "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"
	for message, expected := range map[string]string{
		"": "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4" +
			"8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415",
		"abc": "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f" +
			"5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e",
		"abcdef0123456789": "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80" +
			"cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3",
		"q128_" + string(bytes.Repeat([]byte{'q'}, 128)): "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d" +
			"98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e",
		"a512_" + string(bytes.Repeat([]byte{'a'}, 512)): "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5" +
			"ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc",
	} {
		if point := hashToCurve([]byte(message), tag).Bytes(); !bytes.Equal(point[1:], decoded(t, expected)) {
			t.Errorf("%.8q: %x", message, point)
		}
	}
	if bytes.Equal(HashToCurve([]byte("abc")).Bytes(), hashToCurve([]byte("abc"), tag).Bytes()) {
		t.Error("the federation's tag is not bound")
	}
}

func TestScalar(t *testing.T) {
	n := new(big.Int).SetBytes(order)
	beforeN := new(big.Int).Sub(n, big.NewInt(1))
	seeds := [][]byte{make([]byte, SeedSize), bytes.Repeat([]byte{0xff}, SeedSize)}
	for _, near := range []int64{-2, -1, 0, 1} {
		multiple := new(big.Int).Mul(n, big.NewInt(1<<40))
		seeds = append(seeds, new(big.Int).Add(n, big.NewInt(near)).FillBytes(make([]byte, SeedSize)))
		seeds = append(seeds, multiple.Add(multiple, big.NewInt(near)).FillBytes(make([]byte, SeedSize)))
	}
	for range 200 {
		seeds = append(seeds, SystemEntropy(SeedSize))
	}
	for _, seed := range seeds {
		expected := new(big.Int).Mod(new(big.Int).SetBytes(seed), beforeN)
		expected.Add(expected, big.NewInt(1))
		key, err := ScalarFromSeed(seed)
		if err != nil || new(big.Int).SetBytes(key.Bytes()).Cmp(expected) != 0 {
			t.Errorf("%x: %v", expected, err)
		}
		if !bytes.Equal(seed, make([]byte, SeedSize)) {
			t.Error("the seed was not wiped")
		}
	}
	if _, err := ScalarFromSeed(make([]byte, 32)); err == nil {
		t.Error("32 bytes are no seed")
	}
}

func TestPoint(t *testing.T) {
	p := elliptic.P256().Params().P
	at := func(base *big.Int, offset int64) []byte {
		return new(big.Int).Add(base, big.NewInt(offset)).FillBytes(make([]byte, PointSize))
	}
	hasPoint := func(x []byte) bool {
		_, y := elliptic.UnmarshalCompressed(elliptic.P256(), append([]byte{evenY}, x...))
		return y != nil
	}
	for offset := range int64(20) {
		if err := RequirePoint(at(p, offset)); !refusal.Is(err, refusal.InvalidPoint) {
			t.Errorf("p + %d: %v", offset, err)
		}
		above, n := at(new(big.Int).SetBytes(order), offset), order
		if err := RequirePoint(above); (err == nil) != hasPoint(above) {
			t.Errorf("n + %d: %v", offset, err)
		}
		if err := RequireRegistrationPoint(above); err == nil {
			t.Errorf("n + %d is no R_X1", offset)
		}
		below := at(new(big.Int).SetBytes(n), -1-offset)
		if err := RequireRegistrationPoint(below); (err == nil) != hasPoint(below) {
			t.Errorf("n - %d: %v", offset+1, err)
		}
	}
	if err := RequirePoint(make([]byte, PointSize)); err != nil {
		t.Errorf("x = 0 is a point: %v", err)
	}
	if RequireRegistrationPoint(make([]byte, PointSize)) == nil {
		t.Error("x = 0 is no R_X1")
	}
	for _, size := range []int{0, 31, 33, 64} {
		if RequirePoint(make([]byte, size)) == nil {
			t.Errorf("%d bytes are no point", size)
		}
	}
}

func TestVerifyingKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	encoded, err := EncodeVerifyingKey(&key.PublicKey)
	must(t, err)
	if again, err := VerifyingKey(encoded); err != nil || !again.Equal(key.Public()) {
		t.Errorf("%x: %v", encoded, err)
	}
	uncompressed, err := key.PublicKey.Bytes()
	must(t, err)
	for name, bent := range map[string][]byte{
		"nothing":       nil,
		"O":             {0},
		"uncompressed":  uncompressed,
		"hybrid":        append([]byte{6}, encoded[1:]...),
		"a byte longer": append(bytes.Clone(encoded), 0),
		"off the curve": append([]byte{evenY}, bytes.Repeat([]byte{0xff}, PointSize)...),
	} {
		if err := RequireVerifyingKey(bent); !refusal.Is(err, refusal.InvalidPoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	if _, err := EncodeVerifyingKey(&other.PublicKey); !refusal.Is(err, refusal.KeyInvalid) {
		t.Errorf("a key on P-384: %v", err)
	}
}

// issued is a registration by a cloud of the test's own.
type issued struct {
	secret SoftwareKey
	own    RegistrationSecret
}

func issue(t *testing.T, message string) issued {
	t.Helper()
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	digest := sha256.Sum256([]byte(message))
	rho, sigma, err := ecdsa.Sign(rand.Reader, issuer, digest[:])
	must(t, err)
	key, err := ecdh.P256().NewPrivateKey(sigma.FillBytes(make([]byte, PointSize)))
	must(t, err)
	encoded, err := EncodeVerifyingKey(&issuer.PublicKey)
	must(t, err)
	point := rho.FillBytes(make([]byte, PointSize))
	public, err := PublicPoint(point, encoded, []byte(message))
	must(t, err)
	return issued{SoftwareKey{key}, RegistrationSecret{SoftwareKey{key}, point, public}}
}

func TestPublicPointIsOfTheSecret(t *testing.T) {
	for range 8 { // S_X R is U_X or its negative, as it comes
		if err := issue(t, "a credential").own.RequireConsistent(); err != nil {
			t.Error(err)
		}
	}
	made := issue(t, "a credential")
	made.own.Key = issue(t, "a credential").secret
	if err := made.own.RequireConsistent(); !refusal.Is(err, refusal.SecretMismatch) {
		t.Errorf("another credential's: %v", err)
	}
	if _, err := PublicPoint(made.own.RegistrationPoint, make([]byte, VerifyingKeySize), nil); !refusal.Is(err, refusal.InvalidPoint) {
		t.Errorf("no PK: %v", err)
	}
}

// TestPublicPointIsNotTheNeutralElement has a PK and a rho whose U_X is O: PK = -z rho^-1 B.
func TestPublicPointIsNotTheNeutralElement(t *testing.T) {
	n, covered, rho := new(big.Int).SetBytes(order), []byte("covered"), issue(t, "any").own.RegistrationPoint
	z := sha256.Sum256(covered)
	s := new(big.Int).ModInverse(new(big.Int).SetBytes(rho), n)
	s.Mul(s, new(big.Int).Neg(new(big.Int).SetBytes(z[:]))).Mod(s, n)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.FillBytes(make([]byte, PointSize)))
	must(t, err)
	issuer, err := EncodeVerifyingKey(&key.PublicKey)
	must(t, err)
	if _, err := PublicPoint(rho, issuer, covered); !refusal.Is(err, refusal.InvalidPoint) {
		t.Errorf("got %v", err)
	}
}

// TestOfferReachesItsReceiver has both sides compute K1 and Z.
func TestOfferReachesItsReceiver(t *testing.T) {
	receiver := issue(t, "the receiver")
	point, offered, err := Offer(SystemEntropy, receiver.own.RegistrationPoint, receiver.own.PublicPoint, "K1")
	must(t, err)
	if taken, err := receiver.own.Agree(point, "K1", point); err != nil || !bytes.Equal(offered, taken) {
		t.Errorf("%x and %x: %v", offered, taken, err)
	}
	if stranger, err := issue(t, "another").own.Agree(point, "K1", point); err != nil || bytes.Equal(offered, stranger) {
		t.Errorf("another has K1: %v", err)
	}
	again, _, err := Offer(SystemEntropy, receiver.own.RegistrationPoint, receiver.own.PublicPoint, "K1")
	if err != nil || bytes.Equal(point, again) {
		t.Errorf("one r twice: %v", err)
	}
	ours, err := NewEphemeral(SystemEntropy)
	must(t, err)
	theirs, err := NewEphemeral(SystemEntropy)
	must(t, err)
	left, err := ours.Shared(theirs.Point)
	must(t, err)
	if right, err := theirs.Shared(ours.Point); err != nil || !bytes.Equal(left, right) {
		t.Errorf("%x and %x: %v", left, right, err)
	}
	for name, use := range map[string]func([]byte) error{
		"R_X1": func(x []byte) error { _, _, err := Offer(SystemEntropy, x, receiver.own.PublicPoint, "K1"); return err },
		"E":    func(x []byte) error { _, err := ours.Shared(x); return err },
		"R_2":  func(x []byte) error { _, err := receiver.own.Agree(x, "K1", x); return err },
	} {
		if err := use(bytes.Repeat([]byte{0xff}, PointSize)); !refusal.Is(err, refusal.InvalidPoint) {
			t.Errorf("%s beyond p: %v", name, err)
		}
	}
}

// TestKDF is a known answer of X9.63's KDF with SHA-256 (NIST CAVS 12.0, ANS X9.63-2001, shared secret of 192 bits, no
// SharedInfo).
func TestKDF(t *testing.T) {
	secret := decoded(t, "96c05619d56c328ab95fe84b18264b08725b85e33fd34f08")
	if key := deriveKey(secret, nil); !bytes.HasPrefix(key, decoded(t, "443024c3dae66b95e6f5670601558f71")) {
		t.Errorf("%x", key)
	}
}

func TestReceivedPoints(t *testing.T) {
	type received struct {
		Name, Kind, Expect string
		Point              vectors.Bytes
	}
	require := map[string]func([]byte) error{"KIND_POINT": RequirePoint, "KIND_REGISTRATION_POINT": RequireRegistrationPoint}
	for _, vector := range vectors.Read[received](t, "points.json") {
		if err := require[vector.Kind](vector.Point); !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s %s: %v, not %s", vector.Kind, vector.Name, err, vector.Expect)
		}
	}
}

func TestReceivedVerifyingKeys(t *testing.T) {
	type received struct {
		Name, Expect string
		VerifyingKey vectors.Bytes `json:"verifying_key"`
	}
	for _, vector := range vectors.Read[received](t, "verifying_keys.json") {
		if err := RequireVerifyingKey(vector.VerifyingKey); !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
		}
	}
}

func TestHashedMessages(t *testing.T) {
	type hashed struct {
		Name           string
		Message, Point vectors.Bytes
	}
	for _, vector := range vectors.Read[hashed](t, "hash_to_curve.json") {
		point := HashToCurve(vector.Message).Bytes()
		if point = append([]byte{evenY | point[64]&1}, point[1:33]...); !bytes.Equal(point, vector.Point) {
			t.Errorf("%s: %x", vector.Name, point)
		}
	}
}
