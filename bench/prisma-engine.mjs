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
// Where it differs from the native engine: a script is sent whole, as Prisma did up to 7.3 (7.4 splits
// it), and when one fails, the error has no code (natively P3018) and another text.
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
        await pool.query(script);
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
