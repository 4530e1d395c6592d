// Walk through the devnet with Stellar's own JavaScript SDK.
// argv: Horizon URL, network passphrase; stdout: JSON with what the SDK made of the answers.
import {
  Asset, BASE_FEE, Horizon, Keypair, Memo, NotFoundError, Operation, TransactionBuilder,
} from "@stellar/stellar-sdk";

const [url, networkPassphrase] = process.argv.slice(2);
const server = new Horizon.Server(url, { allowHttp: true });
const payer = Keypair.fromRawEd25519Seed(Buffer.alloc(32, 7));
const payee = Keypair.fromRawEd25519Seed(Buffer.alloc(32, 8));
const stranger = Keypair.fromRawEd25519Seed(Buffer.alloc(32, 9));

const seen = { passphrase: (await server.root()).network_passphrase };
for (const key of [payer, payee]) {
  const answer = await fetch(`${url}/friendbot?addr=${key.publicKey()}`);
  if (!answer.ok) throw new Error(await answer.text());
}

const account = await server.loadAccount(payer.publicKey());
const first = account.sequenceNumber();
seen.baseFee = await server.fetchBaseFee();
const payment = new TransactionBuilder(account, { fee: BASE_FEE, networkPassphrase })
  .addOperation(Operation.payment({
    destination: payee.publicKey(), asset: Asset.native(), amount: "12.3456789",
  }))
  .addMemo(Memo.hash("ab".repeat(32)))
  .setTimeout(300)
  .build();
payment.sign(payer);
const sent = await server.submitTransaction(payment);
seen.payment = { successful: sent.successful, ledger: sent.ledger, hash: sent.hash };
seen.ownHash = payment.hash().toString("hex");
seen.again = (await server.submitTransaction(payment)).ledger;
const found = await server.transactions().transaction(sent.hash).call();
seen.found = { memo: found.memo, memoType: found.memo_type, sequence: found.source_account_sequence };
seen.expectedSequence = (BigInt(first) + 1n).toString();
seen.balance = (await server.loadAccount(payee.publicKey())).balances[0].balance;
const ledger = await server.ledgers().ledger(sent.ledger).call();
seen.ledger = { sequence: ledger.sequence, hash: ledger.hash };
seen.ledgerTransactions = (await server.transactions().forLedger(sent.ledger).call()).records.length;
const page = await server.ledgers().order("desc").limit(2).call();
seen.page = page.records.map((record) => record.sequence);
seen.nextPage = (await page.next()).records.map((record) => record.sequence);

try {
  await server.loadAccount(stranger.publicKey());
} catch (error) {
  seen.missing = { notFound: error instanceof NotFoundError, status: error.response?.status };
}
const stale = await server.loadAccount(payer.publicKey());
stale.incrementSequenceNumber();
const wrong = new TransactionBuilder(stale, { fee: BASE_FEE, networkPassphrase })
  .addOperation(Operation.payment({
    destination: payee.publicKey(), asset: Asset.native(), amount: "1",
  }))
  .addMemo(Memo.text("too far"))
  .setTimeout(300)
  .build();
wrong.sign(payer);
try {
  await server.submitTransaction(wrong);
} catch (error) {
  seen.badSequence = { status: error.response.status, extras: error.response.data.extras };
}
process.stdout.write(JSON.stringify(seen));
