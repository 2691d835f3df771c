// What the JavaScript driver for MongoDB sees in each case, as one JSON object on stdout: as in mongodb_cases.py.
//
//     mongodb_cases.js mongodb HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

const { createHash } = require("node:crypto");
const dns = require("node:dns");
const { MongoClient } = require("mongodb");

const TEXT = Array.from({ length: 300000 }, (_, n) => String.fromCharCode(0x21 + ((n * 7919) % 94))).join("");
const PATIENCE_MS = 2000;
const { PIERHEAD_TEST_ZONE: ZONE, PIERHEAD_TEST_CA: CA } = process.env;
const [, , , host, port, name, password, ...others] = process.argv;

async function main() {
  const cases = {
    login: attempt(login),
    work: attempt(work),
    batches: attempt(batches),
    pool: attempt(pool),
    wrong: attempt(login, { secret: "not the password" }),
    other: attempt(login, { user: "nobody-here", app: name, patience: PATIENCE_MS }),
  };
  for (const [what, other] of others.map((pair) => pair.split("="))) {
    const patience = other.endsWith("!") ? 10 * PATIENCE_MS : PATIENCE_MS;
    cases[what] = attempt(login, { user: other.replace("!", ""), patience });
  }
  const seen = await Promise.all(Object.values(cases));
  console.log(JSON.stringify(Object.fromEntries(Object.keys(cases).map((what, n) => [what, seen[n]]))));
}

async function attempt(work, { user = name, secret = password, app = user, patience = 30000 } = {}) {
  const options =
    `authSource=${user}&directConnection=true&appName=${app}&serverSelectionTimeoutMS=${patience}` +
    "&maxPoolSize=50&maxConnecting=50";
  const url = `mongodb://${user}:${encodeURIComponent(secret)}@${ZONE ? `${user}.${ZONE}` : host}:${port}/${user}?${options}`;
  const lookup = (where, how, done) => dns.lookup(where.endsWith(ZONE) ? host : where, how, done);
  const client = new MongoClient(url, ZONE ? { tls: true, tlsCAFile: CA, lookup } : {});
  try {
    return { ok: await work(client.db(user)) };
  } catch (error) {
    return { code: error.code ?? null, text: error.message };
  } finally {
    await client.close();
  }
}

async function login(db) {
  const status = await db.command({ connectionStatus: 1 });
  return status.authInfo.authenticatedUsers.map((user) => [user.db, user.user]);
}

async function work(db) {
  const collection = db.collection("work-js");
  await collection.drop();
  await collection.insertOne({ _id: 1, text: TEXT });
  const found = await collection.findOne({ _id: 1 });
  return digest(found.text);
}

async function batches(db) {
  const collection = db.collection("batches-js");
  await collection.drop();
  const documents = Array.from({ length: 40 }, (_, n) => ({ _id: n, text: TEXT.slice(0, 50000 + n) }));
  await collection.insertMany(documents);
  const found = await collection.find().toArray();
  const sum = found.reduce((sum, document) => sum + document._id, 0);
  return [sum, digest(found.map((document) => document.text).join(""))];
}

async function pool(db) {
  const slept = Array.from({ length: 50 }, () => db.command({ sleep: 1, millis: 1000 }));
  return (await Promise.all(slept)).reduce((sum, answer) => sum + answer.ok, 0);
}

function digest(text) {
  return `${text.length} ${createHash("sha256").update(text).digest("hex")}`;
}

main();
