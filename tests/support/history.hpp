#pragma once

namespace testing {

// As Prisma creates it: verbatim from prisma-engines, flavour/postgres.rs, but for IF NOT EXISTS.
inline constexpr const char* k_history_table = R"sql(
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0);)sql";

}  // namespace testing
