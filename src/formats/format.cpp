#include "schemagate/formats/format.hpp"

#include "schemagate/formats/alembic.hpp"
#include "schemagate/formats/generic.hpp"
#include "schemagate/formats/prisma.hpp"

namespace schemagate {

std::shared_ptr<const Format> format_of(const Manifest::Migrations& migrations) {
  const auto& history = migrations.history;
  if (migrations.tool == Tool::prisma || history.preset == "prisma") return prisma::format();
  if (history.is_none()) return nullptr;
  if (history.preset == "alembic") return alembic::format(generic::described(history));
  return generic::format(generic::described(history));
}

Folder read_folder(const Manifest::Migrations& migrations) {
  const auto format = format_of(migrations);
  return (format ? format : prisma::format())
      ->read_folder(migrations.directory, migrations.allow_empty);
}

void refuse_destructive_command(const std::vector<std::string>& argv) {
  prisma::refuse_destructive_command(argv);
}

}  // namespace schemagate
