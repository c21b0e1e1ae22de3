/** @peculiar/x509, which wants the reflection polyfill to be there before it. */

import "reflect-metadata";

export * from "@peculiar/x509";
