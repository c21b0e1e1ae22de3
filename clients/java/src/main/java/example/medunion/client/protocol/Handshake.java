package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;
import java.util.Locale;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * The handshake of Chen et al. 2020, eq. 11-22 (P1, D1) and eq. 33-44 (D3, H1), once for both kinds of session.
 *
 * <p>The initiator, who knows the responder's statements, sends who it is, r R and e B sealed to it, signed for it, where R is
 * the responder's R_X1. The responder answers with an r and e of its own; both compute SEK from K1, K2 and Z. The reply proves
 * the key by kc, and who sends it by its signature. What a session adds of its own begins with the state that the handshake
 * leads to.
 */
public final class Handshake {
  private Handshake() {}

  /**
   * What a kind of session has of its own in the handshake: a row. The labels are the signatures', and in lower case the
   * seals'; `initiators` are the roles that may begin it; `keyRoles` are the initiator's letter and the responder's in the
   * names of the keys; `replyOf` gives a reply with the kind's own fields, and `requireOpening` is the kind's own check of
   * an opening.
   */
  public record Kind<O extends Message, R extends Message>(
      String openingLabel,
      String replyLabel,
      O openingType,
      R replyType,
      List<Role> initiators,
      Role responder,
      String keyRoles,
      Function<O, String> initiatorId,
      Function<R, String> responderId,
      Function<Party, R> replyOf,
      OpeningTranscript<O> openingTranscript,
      TranscriptHash<R> transcriptHash,
      ReplyTranscript<R> replyTranscript,
      BiConsumer<O, VerifiedParty> requireOpening) {
    /** The row for steps that go by it alone: what it makes and opens is of its own types. */
    @SuppressWarnings("unchecked")
    private Kind<Message, Message> row() {
      return (Kind<Message, Message>) (Kind<?, ?>) this;
    }

    private Context opening(String responder, byte[] keyId, byte[] sessionId, long sentAt) {
      String name = openingLabel.toLowerCase(Locale.ROOT);
      return new Context(name, Context.UNNAMED, responder, keyId, sessionId, sentAt);
    }

    private Context reply(String responder, String initiator, byte[] keyId, byte[] sessionId, long sentAt) {
      String name = replyLabel.toLowerCase(Locale.ROOT);
      return new Context(name, responder, initiator, keyId, sessionId, sentAt);
    }
  }

  /** What the opening's signature covers. */
  @FunctionalInterface
  public interface OpeningTranscript<O> {
    byte[] of(O opening, byte[] issuer, String responderId, byte[] keyId, byte[] sessionId);
  }

  /** TH1 or TH2. */
  @FunctionalInterface
  public interface TranscriptHash<R> {
    byte[] of(byte[] openingPlaintext, R reply, byte[] credential, byte[] sessionId);
  }

  /** What the reply's signature covers. */
  @FunctionalInterface
  public interface ReplyTranscript<R> {
    byte[] of(R reply, byte[] issuer, byte[] transcriptHash);
  }

  /** Somebody else, verified: CRED, EK_X, and a doctor's Cert_D, else empty. */
  public record Peer(VerifiedParty party, EncryptionKey encryptionKey, byte[] certificate) {
    public String identity() {
      return party.identity();
    }

    /** Makes CRED anew, of a doctor with Cert_D: on the lists of now, for the handshake may be long ago. */
    void requireStillGood(Verifier verifier, long now) {
      verifier.member(party.keyStatement(), party.role(), certificate, now);
    }
  }

  /** What either side holds once both can compute SEK; `beganAt` is T of the opening. */
  public record Session(
      Party own,
      Peer peer,
      byte[] id,
      byte[] transcriptHash,
      SessionKeys.DirectionKeys sendingKeys,
      SessionKeys.DirectionKeys receivingKeys,
      long beganAt) {
    /** The frames that this side sends, from the first. */
    Direction sending() {
      return new Direction(id, sendingKeys);
    }

    Direction receiving() {
      return new Direction(id, receivingKeys);
    }
  }

  /**
   * Makes an opening (eq. 11-13, 33-35) of a message that has the kind's own fields: picks r and e, names the base of r by the
   * responder's serial, signs for this responder, seals to it.
   */
  static <S> AwaitingReply<S> begin(
      Kind<?, ?> kind,
      Party own,
      Peer peer,
      Message.Builder opening,
      Function<Session, S> established,
      long now,
      Entropy entropy) {
    Ephemeral ephemeral = new Ephemeral(peer.party(), "K1", entropy);
    byte[] sessionId = entropy.draw(16);
    byte[] contribution = entropy.draw(32);
    share(opening, own, ephemeral, contribution, now);
    set(opening, "responder_serial", peer.party().serial());
    set(opening, "encryption_key_statement", own.encryptionKeyStatement());
    Kind<Message, Message> row = kind.row();
    byte[] keyId = peer.encryptionKey().keyId();
    byte[] signed =
        row.openingTranscript().of(opening.buildPartial(), own.self().issuer(), peer.identity(), keyId, sessionId);
    set(opening, "signature", own.signingKey().sign(signed));
    Context context = row.opening(peer.identity(), keyId, sessionId, now);
    Sealing.Sent sent = Sealing.seal(opening.build(), peer.encryptionKey().encryptionKey(), context);
    return new AwaitingReply<>(row, own, peer, established, sessionId, ephemeral, contribution, sent, now);
  }

  /** The opening is made: send it. e lives here and nowhere else. */
  public static final class AwaitingReply<S> {
    private final Kind<Message, Message> kind;
    private final Party own;
    private final Peer peer;
    private final Function<Session, S> established;
    private final byte[] sessionId;
    private final Ephemeral ephemeral;
    private final byte[] contribution;
    private final Sealing.Sent sent;
    private final long sentAt;

    private AwaitingReply(
        Kind<Message, Message> kind,
        Party own,
        Peer peer,
        Function<Session, S> established,
        byte[] sessionId,
        Ephemeral ephemeral,
        byte[] contribution,
        Sealing.Sent sent,
        long sentAt) {
      this.kind = kind;
      this.own = own;
      this.peer = peer;
      this.established = established;
      this.sessionId = sessionId;
      this.ephemeral = ephemeral;
      this.contribution = contribution;
      this.sent = sent;
      this.sentAt = sentAt;
    }

    public SealedOpening opening() {
      return sent.opening();
    }

    public byte[] sessionId() {
      return sessionId.clone();
    }

    /** Takes the reply (eq. 20-22, 42-44). */
    public S receive(SealedReply sealed, Verifier verifier, long now) {
      requireReply(sealed, sessionId, now);
      return established.apply(Refusal.afterOpening(() -> accept(sealed, verifier, now)));
    }

    private Session accept(SealedReply sealed, Verifier verifier, long now) {
      Hpke.DecryptionKey key = own.decryptionKey();
      Context context = kind.reply(peer.identity(), own.identity(), key.keyId(), sessionId, sealed.getSentAt());
      Message reply = Sealing.open(kind.replyType(), sealed.getSealed(), key, context).payload();
      VerifiedParty party = responder(reply, verifier, now);
      byte[] hash = kind.transcriptHash().of(sent.plaintext(), reply, party.credential(), sessionId);
      SessionKeys.Shared shared =
          SessionKeys.Shared.ofInitiator(
              ephemeral, own.registrationSecret(), bytes(reply, "agreement_point"), bytes(reply, "ephemeral_point"));
      SessionKeys keys = SessionKeys.derive(shared, contribution, bytes(reply, "contribution"), hash, kind.keyRoles());
      boolean confirmed = Bytes.equal(bytes(reply, "key_confirmation"), keys.keyConfirmation());
      require(confirmed, "KEY_CONFIRMATION_FAILED", "the peer does not hold the session key");
      byte[] signed = kind.replyTranscript().of(reply, party.issuer(), hash);
      Statements.verifySignature(party.verifyingKey(), get(reply, "signature"), signed);
      Peer proved = new Peer(party, peer.encryptionKey(), peer.certificate());
      return new Session(own, proved, sessionId, hash, keys.forward(), keys.backward(), sentAt);
    }

    /** Requires the one who replies to be the one addressed, and makes its CRED. */
    private VerifiedParty responder(Message reply, Verifier verifier, long now) {
      boolean addressed = kind.responderId().apply(reply).equals(peer.identity());
      require(addressed, "IDENTITY_MISMATCH", "somebody else answers than the one addressed");
      byte[] certificate = certificateIn(reply);
      boolean checked = Bytes.equal(certificate, peer.certificate());
      require(checked, "CERTIFICATE_FOREIGN", "Cert_D is not the one that was checked");
      SignedStatement statement = get(reply, "key_statement");
      VerifiedParty party = verifier.member(statement, kind.responder(), certificate, now);
      boolean same =
          party.identity().equals(peer.identity())
              && Bytes.equal(bytes(reply, "registration_point"), party.registrationPoint());
      require(same, "IDENTITY_MISMATCH", "the key statement is not of the one who answers");
      boolean ofBase = Bytes.equal(party.credential(), peer.party().credential());
      require(ofBase, "IDENTITY_MISMATCH", "the answer is of another credential than the one addressed");
      return party;
    }
  }

  /** Decides what the clear fields of a reply decide, precisely: rules, session id, T. */
  static void requireReply(SealedReply sealed, byte[] sessionId, long now) {
    Rules.check(sealed);
    boolean own = Bytes.equal(sealed.getSessionId(), sessionId);
    require(own, "SESSION_UNKNOWN", "the answer belongs to another session");
    Freshness.requireFresh(sealed.getSentAt(), now);
  }

  /**
   * A state that a message leads to once its replay key is kept (B2): durable, and failing closed. The key is to be inserted
   * where it is absent, and kept until `keepUntil`.
   */
  public record Pending<S>(byte[] replayKey, long keepUntil, S next) {
    /** Gives the state if the replay key was new. */
    public S admit(boolean inserted) {
      if (!inserted) {
        throw Refusal.rejected(new Refusal("MESSAGE_REPLAYED", "this message was taken before"));
      }
      return next;
    }
  }

  /** Takes an opening (eq. 14, 15). */
  static <S> Pending<ReceivedOpening<S>> receiveOpening(
      Kind<?, ?> kind, Party own, SealedOpening sealed, Verifier verifier, Function<Replied, S> replied, long now) {
    Hpke.DecryptionKey key = Sealing.findKey(sealed, own, now);
    Kind<Message, Message> row = kind.row();
    ReceivedOpening<S> received = Refusal.afterOpening(() -> accept(row, own, key, sealed, verifier, replied, now));
    Message opening = received.opened().payload();
    byte[] replayKey =
        Transcript.of(row.openingLabel())
            .add(row.initiatorId().apply(opening))
            .add(bytes(opening, "agreement_point"))
            .digest();
    return new Pending<>(replayKey, now + Freshness.WINDOW + 2 * Freshness.SKEW, received);
  }

  private static <S> ReceivedOpening<S> accept(
      Kind<Message, Message> kind,
      Party own,
      Hpke.DecryptionKey key,
      SealedOpening sealed,
      Verifier verifier,
      Function<Replied, S> replied,
      long now) {
    byte[] sessionId = sealed.getSessionId().toByteArray();
    Context context = kind.opening(own.identity(), key.keyId(), sessionId, sealed.getSentAt());
    Opened<Message> opened = Sealing.open(kind.openingType(), sealed.getSealed(), key, context);
    Message opening = opened.payload();
    byte[] certificate = certificateIn(opening);
    SignedStatement statement = get(opening, "key_statement");
    String initiator = kind.initiatorId().apply(opening);
    Role role = Verifier.roleOf(initiator, kind.initiators());
    VerifiedParty party = verifier.member(statement, role, certificate, now);
    boolean same =
        initiator.equals(party.identity())
            && Bytes.equal(bytes(opening, "registration_point"), party.registrationPoint());
    require(same, "IDENTITY_MISMATCH", "the key statement is somebody else's");
    kind.requireOpening().accept(opening, party);
    EncryptionKey encryptionKey = verifier.encryptionKey(get(opening, "encryption_key_statement"), party, now);
    byte[] signed = kind.openingTranscript().of(opening, party.issuer(), own.identity(), key.keyId(), sessionId);
    Statements.verifySignature(party.verifyingKey(), get(opening, "signature"), signed);
    boolean ofNow = Bytes.equal(bytes(opening, "responder_serial"), own.self().serial());
    require(ofNow, "CREDENTIAL_SUPERSEDED", "the opening is for an earlier credential of this party");
    Peer peer = new Peer(party, encryptionKey, certificate);
    return new ReceivedOpening<>(kind, own, peer, replied, sessionId, opened);
  }

  /** What a responder holds and sends: the session, and its reply. */
  public record Replied(Session session, SealedReply reply) {}

  /** The opening held: somebody addresses this responder, and is present only once the first frame confirms the key. */
  public record ReceivedOpening<S>(
      Kind<Message, Message> kind,
      Party own,
      Peer peer,
      Function<Replied, S> replied,
      byte[] sessionId,
      Opened<Message> opened) {
    /** Makes the reply: picks r and e (eq. 16), derives SEK (eq. 17), confirms it (eq. 18, 19). */
    public S reply(long now, Entropy entropy) {
      Ephemeral ephemeral = new Ephemeral(peer.party(), "K2", entropy);
      byte[] contribution = entropy.draw(32);
      Message.Builder reply = kind.replyOf().apply(own).toBuilder();
      share(reply, own, ephemeral, contribution, now);
      byte[] hash =
          kind.transcriptHash().of(opened.plaintext(), reply.buildPartial(), own.self().credential(), sessionId);
      Message opening = opened.payload();
      SessionKeys.Shared shared =
          SessionKeys.Shared.ofResponder(
              ephemeral, own.registrationSecret(), bytes(opening, "agreement_point"), bytes(opening, "ephemeral_point"));
      SessionKeys keys =
          SessionKeys.derive(shared, bytes(opening, "contribution"), contribution, hash, kind.keyRoles());
      set(reply, "key_confirmation", keys.keyConfirmation());
      byte[] signed = kind.replyTranscript().of(reply.buildPartial(), own.self().issuer(), hash);
      set(reply, "signature", own.signingKey().sign(signed));
      Context context =
          kind.reply(own.identity(), peer.identity(), peer.encryptionKey().keyId(), sessionId, now);
      SealedReply sealed = Sealing.reply(reply.build(), peer.encryptionKey().encryptionKey(), context);
      long beganAt = get(opening, "sent_at");
      Session session = new Session(own, peer, sessionId, hash, keys.backward(), keys.forward(), beganAt);
      return replied.apply(new Replied(session, sealed));
    }
  }

  /** Fills in what messages of all kinds have, whichever way they go. */
  private static void share(
      Message.Builder message, Party own, Ephemeral ephemeral, byte[] contribution, long now) {
    set(message, "registration_point", own.self().registrationPoint());
    set(message, "agreement_point", ephemeral.agreementPoint());
    set(message, "ephemeral_point", ephemeral.ephemeralPoint());
    set(message, "contribution", contribution);
    set(message, "sent_at", now);
    set(message, "key_statement", own.self().keyStatement());
  }

  /** The Cert_D that a doctor's message carries; others' carry none. */
  private static byte[] certificateIn(Message message) {
    boolean carries = message.getDescriptorForType().findFieldByName("doctor_certificate") != null;
    return carries ? bytes(message, "doctor_certificate") : Bytes.EMPTY;
  }

  private static byte[] bytes(Message message, String name) {
    return Handshake.<ByteString>get(message, name).toByteArray();
  }

  /** A field by its name in protos/, where it is the same in several messages. */
  @SuppressWarnings("unchecked")
  private static <V> V get(Message message, String name) {
    return (V) message.getField(message.getDescriptorForType().findFieldByName(name));
  }

  private static void set(Message.Builder message, String name, Object value) {
    FieldDescriptor field = message.getDescriptorForType().findFieldByName(name);
    message.setField(field, value instanceof byte[] bytes ? ByteString.copyFrom(bytes) : value);
  }
}
