// Prisma's real schema engine (its WebAssembly build) on a folder of migrations: a contender in the
// benchmark and the oracle of differential tests.
//
//   node prisma-engine.mjs apply|diagnose DIRECTORY
//   node prisma-engine.mjs markApplied|markRolledBack DIRECTORY NAME
//
// DATABASE_URL says where (?schema= as Prisma has it), SCHEMAGATE_NODE_DIR in which directory the
// packages of bench/package.json are installed. Prints one JSON document: {"ok": true, "result": …}
// or {"ok": false, "error": {code, message, meta}}; exits 0, 1 or 2 (usage).
//
// Where it differs from the native engine: when a script fails, the error has no code (natively P3018)
// and another text; and a script is sent whole, in one message, as Prisma did up to 7.3. With
// SCHEMAGATE_PRISMA_SPLIT=1 its statements are sent one by one, each in a message of its own, as
// Prisma does since 7.4. That is an emulation of this one step: the native engine splits with
// sqlparser 0.61, and sends the script whole when that cannot parse it; here a few lines split it,
// and only a DO block (which sqlparser cannot parse) makes them send it whole.
import { readdirSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const packages = createRequire(join(process.env.SCHEMAGATE_NODE_DIR ?? import.meta.dirname, "package.json"));
const { Pool } = packages("pg");
const { PrismaPg } = packages("@prisma/adapter-pg");
const { bindMigrationAwareSqlAdapterFactory } = packages("@prisma/driver-adapter-utils");

async function loadEngine() {
  const glue = packages.resolve("@prisma/schema-engine-wasm/schema_engine_bg");
  const bindings = await import(pathToFileURL(glue));
  const bytes = readFileSync(glue.replace(/\.js$/, ".wasm"));
  const { instance } = await WebAssembly.instantiate(bytes, { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return bindings.SchemaEngine;
}

function textOf(file) {
  try {
    return { tag: "ok", value: readFileSync(file, "utf-8") };
  } catch (error) {
    return { tag: "error", value: error.message };
  }
}

// As Prisma's own listMigrations does it: every real directory, in the order of localeCompare.
function migrationsIn(directory) {
  const lock = textOf(join(directory, "migration_lock.toml"));
  return {
    baseDir: resolve(directory),
    lockfile: { path: "migration_lock.toml", content: lock.tag === "ok" ? lock.value : null },
    shadowDbInitScript: "",
    migrationDirectories: readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort((a, b) => a.localeCompare(b))
      .map((name) => ({
        path: name,
        migrationFile: { path: "migration.sql", content: textOf(join(directory, name, "migration.sql")) },
      })),
  };
}

// Where the quote, dollar quote or comment that begins at `at` ends; `at` when there is none.
function endOfQuoted(script, at) {
  const after = (end, from) => {
    const found = script.indexOf(end, from);
    return found < 0 ? script.length : found + end.length;
  };
  const rest = script.slice(at);
  if (rest.startsWith("--")) return after("\n", at);
  if (rest.startsWith("/*")) {
    const marks = /\/\*|\*\//g; // comments nest
    for (let depth = 0, mark; (mark = marks.exec(rest)); ) {
      depth += mark[0] === "/*" ? 1 : -1;
      if (depth === 0) return at + marks.lastIndex;
    }
    return script.length;
  }
  const escapes = /^[eE]'(?:[^'\\]|\\[^]|'')*'?/.exec(rest);
  if (escapes && !/\w/.test(script[at - 1] ?? "")) return at + escapes[0].length;
  if (rest[0] === "'" || rest[0] === '"') return after(rest[0], at + 1); // a doubled one begins the next
  const dollar = /^\$(?:[A-Za-z_]\w*)?\$/.exec(rest);
  if (dollar && !/[\w$]/.test(script[at - 1] ?? "")) return after(dollar[0], at + dollar[0].length);
  return at;
}

// Each with the comments before it and its semicolon.
function statementsOf(script) {
  const statements = [];
  let start = 0;
  let code = ""; // of this statement, without comments
  const cut = (end) => {
    if (code.replace(";", "").trim() !== "") statements.push({ text: script.slice(start, end), code });
    start = end;
    code = "";
  };
  for (let at = 0; at < script.length; ) {
    const end = Math.max(endOfQuoted(script, at), at + 1);
    if (!/^(?:--|\/\*)/.test(script.slice(at, at + 2))) code += script.slice(at, end);
    if (end === at + 1 && script[at] === ";") cut(end);
    at = end;
  }
  cut(script.length);
  return statements;
}

function messagesOf(script) {
  const statements = process.env.SCHEMAGATE_PRISMA_SPLIT === "1" ? statementsOf(script) : [];
  const splits = statements.length > 0 && !statements.some(({ code }) => /^\s*DO\b/i.test(code));
  return splits ? statements.map(({ text }) => text) : [script];
}

// One session, as the native engine has: a pool would scatter SET and the advisory lock over several.
function oneSession(url) {
  const schema = url.searchParams.get("schema");
  const address = new URL(url);
  address.search = ""; // Prisma's parameters mean nothing to pg
  const pool = new Pool({
    connectionString: address.href,
    max: 1,
    idleTimeoutMillis: 0,
    options: schema ? `-c search_path="${schema.replace(/["\\ ]/g, "\\$&")}"` : undefined,
  });
  const factory = new PrismaPg(pool, { schema: schema ?? "public" });
  const connect = factory.connect.bind(factory);
  factory.connect = async () => {
    const adapter = await connect();
    // The adapter's own splits at every ";", even inside of $$ bodies.
    adapter.executeScript = async (script) => {
      try {
        for (const message of messagesOf(script)) await pool.query(message);
      } catch (error) {
        adapter.onError(error);
      }
    };
    return adapter;
  };
  return factory;
}

const filters = { externalTables: [], externalEnums: [] };
const commands = {
  apply: (engine, migrationsList) => engine.applyMigrations({ migrationsList, filters }),
  diagnose: (engine, migrationsList) =>
    engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
  markApplied: (engine, migrationsList, migrationName) => engine.markMigrationApplied({ migrationsList, migrationName }),
  markRolledBack: (engine, _, migrationName) => engine.markMigrationRolledBack({ migrationName }),
};

const [command, directory, name] = process.argv.slice(2);
const needsName = command?.startsWith("mark");
if (!Object.hasOwn(commands, command ?? "") || !directory || needsName !== (name !== undefined) || !process.env.DATABASE_URL) {
  console.error("usage: DATABASE_URL=… node prisma-engine.mjs apply|diagnose|markApplied|markRolledBack DIRECTORY [NAME]");
  process.exit(2);
}

async function answer() {
  const factory = oneSession(new URL(process.env.DATABASE_URL));
  try {
    const SchemaEngine = await loadEngine();
    const schema = 'datasource db { provider = "postgresql" }';
    const adapter = bindMigrationAwareSqlAdapterFactory(factory);
    const engine = await SchemaEngine.new({ datamodels: [["schema.prisma", schema]] }, () => {}, adapter);
    return { ok: true, result: (await commands[command](engine, migrationsIn(directory), name)) ?? {} };
  } catch (error) {
    const { code = null, message = String(error), meta = null } = error;
    return { ok: false, error: { code, message, meta } };
  }
}

const result = await answer();
writeSync(1, JSON.stringify(result) + "\n");
process.exit(result.ok ? 0 : 1); // or the engine's 10 s timer for its advisory lock keeps the process alive
