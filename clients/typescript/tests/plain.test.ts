import assert from "node:assert/strict";
import { test } from "node:test";
import { afterOpening, plain, Refusal } from "../src/protocol/refusal.js";

function hidden(refusal: Refusal): Refusal {
  try {
    return afterOpening(() => {
      throw refusal;
    });
  } catch (error) {
    return error as Refusal;
  }
}

test("a person reads what happened, why, what to do, and the reason", () => {
  const advice = "Type it again, slowly: the token counts wrong ones.";
  for (const [refusal, said] of [
    [new Refusal("PIN_INCORRECT", "two are left"), `The PIN is wrong. (two are left) ${advice} [PIN_INCORRECT]`],
    [new Refusal("PIN_INCORRECT", "The PIN is wrong. Twice."), `The PIN is wrong. Twice. ${advice} [PIN_INCORRECT]`],
    [new Refusal("PIN_INCORRECT", advice), `The PIN is wrong. (${advice}) [PIN_INCORRECT]`],
    [
      new Refusal("FHIR_INVALID", "a diagnosis has no code"),
      "a diagnosis has no code. Choose another file, or have it written again by what made it. [FHIR_INVALID]",
    ],
    [
      hidden(new Refusal("OUT_OF_ORDER", "one before")),
      "A message came at the wrong moment. (one before) Begin again. [OUT_OF_ORDER]",
    ],
    [new Refusal("UNHEARD_OF", "of no vocabulary"), "of no vocabulary. [UNHEARD_OF]"],
    [new Refusal("toString", "of no vocabulary"), "of no vocabulary. [toString]"],
  ] as const) {
    assert.equal(plain(refusal), said);
  }
});
