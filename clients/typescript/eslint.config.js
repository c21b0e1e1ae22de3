import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/**", "src/gen/**"] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  // The rules of rules.proto have held for every message that is read: what must be present is.
  { rules: { "@typescript-eslint/no-non-null-assertion": "off", "@typescript-eslint/no-extraneous-class": "off" } },
);
