package example.medunion.client.calls;

import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Refusal;

/** A room, looked at: its statements held against the code, its doctor is on duty, and nothing of the patient has gone out. */
public record RoomView(DoctorCode code, Handshake.Peer doctor, Access.Duty duty) {
  /** Requires that it is still what was looked at, another epoch's key aside. */
  void requireSame(RoomView seen) {
    boolean same =
        seen.doctor.party().keyStatement().equals(doctor.party().keyStatement())
            && Bytes.equal(seen.doctor.certificate(), doctor.certificate())
            && seen.duty.departmentClasses().equals(duty.departmentClasses());
    Refusal.require(same, "ROOM_CHANGED", "the room has another doctor now, or one who is on duty elsewhere");
  }
}
