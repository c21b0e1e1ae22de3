// Package protocol is docs/protocol.md from a patient's and a doctor's side, without I/O: messages, a clock reading and fresh
// randomness go in; the next state, a message or a refusal comes out.
//
// A state is a struct named for what is known. A step is a method that takes one message and returns the next state, so a step out
// of order does not compile. States are not changed by a step that fails. A refusal is a *refusal.Error: precise for what clear fields
// decide, REJECTED around its cause for whatever was found after a seal was opened (B9).
package protocol
