// A second verifier of signed messages, written from the profile and not from our Python: WebCrypto
// for the signature, big integers for the key. No package is needed.
// stdin: tests/golden/jws-vectors.json; stdout: JSON list of {"name", "verdict", "plain"}.
import { readFileSync } from "node:fs";
import { webcrypto } from "node:crypto";

const SIZE_MAX = 65536;
const COMMAND_SIZE_MAX = 163840;
const DEPTH_MAX = 500;
const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const NEUTRAL = [0n, 1n];

class Fault extends Error {
  constructor(rule) {
    super(rule);
    this.rule = rule;
  }
}

function mod(value) {
  return ((value % P) + P) % P;
}

function power(base, exponent) {
  let result = 1n;
  for (let square = mod(base); exponent > 0n; exponent >>= 1n, square = mod(square * square)) {
    if (exponent & 1n) result = mod(result * square);
  }
  return result;
}

function inverse(value) {
  return power(value, P - 2n);
}

function add([x1, y1], [x2, y2]) {
  const product = mod(D * x1 * x2 * y1 * y2);
  return [
    mod((x1 * y2 + x2 * y1) * inverse(1n + product)),
    mod((y1 * y2 + x1 * x2) * inverse(1n - product)),
  ];
}

function times(point, scalar) {
  let result = NEUTRAL;
  for (let double = point; scalar > 0n; scalar >>= 1n, double = add(double, double)) {
    if (scalar & 1n) result = add(result, double);
  }
  return result;
}

function isNeutral([x, y]) {
  return x === 0n && y === 1n;
}

function littleEndian(bytes) {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

// The point that 32 bytes spell, in any of its spellings; null when there is none.
function pointOf(bytes) {
  const number = littleEndian(bytes);
  const y = mod(number & (2n ** 255n - 1n));
  const squared = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(squared, (P + 3n) / 8n);
  if (mod(x * x) !== squared) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(x * x) !== squared) return null;
  return [(x & 1n) === number >> 255n ? x : mod(-x), y];
}

const sound = new Map();

function isSoundKey(bytes) {
  const name = bytes.toString();
  if (!sound.has(name)) sound.set(name, hasLargeOrder(bytes));
  return sound.get(name);
}

function hasLargeOrder(bytes) {
  if ((littleEndian(bytes) & (2n ** 255n - 1n)) >= P) return false;
  const point = pointOf(bytes);
  return point !== null && !isNeutral(times(point, 8n)) && isNeutral(times(point, L));
}

function keyOf(address) {
  if (!/^G[A-Z2-7]{55}$/.test(address)) throw new Fault("kid");
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = 0n;
  for (const letter of address) bits = (bits << 5n) | BigInt(alphabet.indexOf(letter));
  const raw = Uint8Array.from({ length: 35 }, (_, i) => Number((bits >> BigInt(8 * (34 - i))) & 255n));
  let sum = 0;
  for (const byte of raw.subarray(0, 33)) {
    sum ^= byte << 8;
    for (let i = 0; i < 8; i += 1) sum = ((sum << 1) ^ (sum & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  if ((raw[33] | (raw[34] << 8)) !== sum) throw new Fault("kid");
  return raw.slice(1, 33);
}

function decoded(part) {
  const bytes = Buffer.from(part, "base64url");
  if (!/^[A-Za-z0-9_-]*$/.test(part) || bytes.toString("base64url") !== part) throw new Fault("base64url");
  return bytes;
}

// JSON.parse takes the last of two equal keys; so look at the tokens of what it understood.
function objectOf(bytes, rule) {
  let text;
  let value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw new Fault(rule);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Fault(rule);
  const open = [];
  let last;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const key = JSON.parse(last);
      if (open.at(-1).has(key)) throw new Fault(rule);
      open.at(-1).add(key);
    } else last = token;
    if (open.length > DEPTH_MAX) throw new Fault(rule);
  }
  return value;
}

async function plainVerify(key, signature, message) {
  const imported = await webcrypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  return webcrypto.subtle.verify("Ed25519", imported, signature, message);
}

async function verify(bytes, type) {
  const sizeMax = type === "hg-command+jws" ? COMMAND_SIZE_MAX : SIZE_MAX;
  if (bytes.length > sizeMax) throw new Fault("size");
  const text = bytes.toString("latin1");
  const parts = text.split(".");
  if (bytes.some((byte) => byte > 127) || parts.length !== 3) throw new Fault("compact-jws");
  const [head, payload, signature] = parts.map(decoded);
  const header = objectOf(head, "header-json");
  if (Object.keys(header).sort().join() !== "alg,kid,typ") throw new Fault("header-members");
  if (header.alg !== "EdDSA") throw new Fault("alg");
  if (header.typ !== type) throw new Fault("typ");
  if (typeof header.kid !== "string") throw new Fault("kid");
  if (signature.length !== 64) throw new Fault("signature");
  const key = keyOf(header.kid);
  if (!isSoundKey(key)) throw new Fault("kid");
  const commitment = pointOf(signature.subarray(0, 32));
  const isLazy = commitment !== null && isNeutral(times(commitment, 8n));
  const isReduced = littleEndian(signature.subarray(32)) < L;
  const message = bytes.subarray(0, text.lastIndexOf("."));
  if (isLazy || !isReduced || !(await plainVerify(key, signature, message))) throw new Fault("signature");
  objectOf(payload, "payload-json");
}

// What WebCrypto alone says of whatever key and signature can be found; null when there are none.
async function plain(text) {
  try {
    const end = text.lastIndexOf(".");
    const header = JSON.parse(Buffer.from(text.split(".")[0], "base64url").toString());
    const signature = Buffer.from(text.slice(end + 1), "base64url");
    if (signature.length !== 64) return null;
    return await plainVerify(keyOf(header.kid), signature, Buffer.from(text.slice(0, end)));
  } catch {
    return null;
  }
}

const results = [];
for (const vector of JSON.parse(readFileSync(0, "utf8")).vectors) {
  const pieces = typeof vector.text === "string" ? [[vector.text, 1]] : vector.text;
  const text = pieces.map(([piece, count]) => piece.repeat(count)).join("");
  let verdict = "valid";
  try {
    await verify(Buffer.from(text, "utf8"), vector.type);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    verdict = error.rule;
  }
  results.push({ name: vector.name, verdict, plain: await plain(text) });
}
process.stdout.write(JSON.stringify(results));
