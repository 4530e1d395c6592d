// Decode XDR with the Rust codec, encode it again, and report what did not come back byte for byte.
// stdin: JSON list of {"type": …, "xdr": base64}; stdout: JSON {"checked": n, "failures": […]}.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { decode, encode, initSync } from "@stellar/stellar-xdr-json";

const wasm = new URL("stellar_xdr_json_bg.wasm", import.meta.resolve("@stellar/stellar-xdr-json"));
initSync(readFileSync(fileURLToPath(wasm)));

const values = JSON.parse(readFileSync(0, "utf8"));
const failures = [];
for (const { type, xdr } of values) {
  try {
    if (encode(type, decode(type, xdr)) !== xdr) failures.push({ type, xdr, reason: "differs" });
  } catch (error) {
    failures.push({ type, xdr, reason: String(error) });
  }
}
process.stdout.write(JSON.stringify({ checked: values.length, failures }));
