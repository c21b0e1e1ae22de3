/** When a doctor's room asks for newer lists. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Home } from "../src/client/home.js";
import { CurrentHome } from "../src/client/maintenance.js";

const SECOND = 1_000;

function room() {
  const cloud = { answers: true, asked: 0, now: 5 };
  const refresh = (home: Home) => {
    cloud.asked++;
    return Promise.resolve(cloud.answers ? ({} as Home) : home);
  };
  const home = new CurrentHome({} as Home, refresh, () => cloud.now);
  const askedAfter = async (milliseconds: number) => {
    cloud.now += milliseconds;
    assert.equal(await home.current(), home.last);
    return cloud.asked;
  };
  return { cloud, home, askedAfter };
}

test("lists are read again once they were kept for a minute", async () => {
  const { home, askedAfter } = room();
  const first = home.last;
  assert.equal(await askedAfter(0), 1);
  assert.notEqual(home.last, first);
  assert.equal(await askedAfter(60 * SECOND - 1), 1);
  assert.equal(await askedAfter(1), 2);
  assert.equal(await askedAfter(59 * SECOND), 2);
  assert.equal(await askedAfter(3 * 3_600 * SECOND), 3);
});

test("a cloud that did not answer is asked again the next time", async () => {
  const { cloud, home, askedAfter } = room();
  const kept = home.last;
  cloud.answers = false;
  assert.equal(await askedAfter(0), 1);
  assert.equal(home.last, kept);
  assert.equal(await askedAfter(SECOND), 2);
  cloud.answers = true;
  assert.equal(await askedAfter(SECOND), 3);
  assert.equal(await askedAfter(SECOND), 3);
});
