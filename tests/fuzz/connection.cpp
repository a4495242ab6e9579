// A connection string → libpq's: nothing changes on the way, and the password is never shown.

#include <array>
#include <optional>

#include "fuzz.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/postgres/connection.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;

constexpr const char* k_secret = "hunter2";

// Where a secret can be meant: between the first : of user:password and the last @ before the host.
// A raw / or ? in the password moves that @ behind what looks like the end of the authority.
bool is_secret(const std::string& text) {
  const auto at = text.find(k_secret);
  if (at == std::string::npos || text.find(k_secret, at + 1) != std::string::npos) return false;
  const auto scheme = text.find("://");
  if (scheme == std::string::npos || text.find_first_of("= ") < scheme) return false;
  auto end = text.find_first_of("/?", scheme + 3);
  if (text.substr(0, end).find('@') == std::string::npos) end = text.size();
  const auto host = text.substr(0, end).rfind('@');
  const auto colon = text.find(':', scheme + 3);
  return host != std::string::npos && colon < at && at < host;
}

void check_is_hidden(const std::string& text) {
  promise(!fuzz::holds(text, k_secret), "what is shown holds no secret", text);
}

void check_same(const ConnectionString& a, const ConnectionString& b, const std::string& shown) {
  for (const auto* key : {"user", "password", "host", "hostaddr", "port", "dbname", "sslmode",
                          "sslcert", "sslkey", "options", "target_session_attrs"})
    promise(a.value(key) == b.value(key), key, shown);
}

// For libpq, "system" becomes the file that this machine keeps its authorities in.
bool names_same_authorities(const ConnectionString& given, const ConnectionString& for_libpq) {
  const auto file = for_libpq.value("sslrootcert");
  const auto asked = given.value("sslrootcert");
  return file == asked || (asked == "system" && !file.empty());
}

void check(const std::string& text, const ConnectionString& address) {
  const auto conninfo =
      address.conninfo({.application_name = "it's \\ us", .connect_timeout = {}, .defaults = {}});
  if (fuzz::holds(conninfo, "://")) return;  // reads as a URL with something around it
  const ConnectionString again{conninfo};
  check_same(address, again, conninfo);
  promise(names_same_authorities(address, again), "the authorities are those asked for", conninfo);
  promise(again.value("application_name") == "it's \\ us", "our name is in it", conninfo);
  promise(again.value("client_encoding") == "UTF8", "the encoding is in it", conninfo);

  const auto named = address.with_application_name("a=b&c#d");
  const ConnectionString for_tool{named};
  check_same(address, for_tool, named);
  promise(for_tool.value("sslrootcert") == address.value("sslrootcert"), "so for a tool", named);
  promise(for_tool.value("application_name") == "a=b&c#d", "a tool has our name", named);
  promise(for_tool.schema() == address.schema(), "a tool has the schema", named);

  promise(address.with_database("other").database() == "other", "the database can be changed");
  promise(!address.database().empty() || !address.value("service").empty(), "it names a database");
  for (const auto& secret : address.secrets()) promise(!secret.empty(), "a secret is not empty");
  const auto& password = address.value("password");
  bool is_known = password.empty();
  for (const auto& secret : address.secrets()) is_known = is_known || secret == password;
  promise(is_known, "the password is a secret", text);

  if (!is_secret(text)) return;
  check_is_hidden(address.display());
  for (const auto& warning : address.warnings()) check_is_hidden(warning);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text_of(data, size);
  if (fuzz::holds(text, std::string_view{"\0", 1})) return 0;  // neither variables nor YAML hold it
  std::optional<ConnectionString> address;
  try {
    address.emplace(text);
  } catch (const ConnectionStringError& e) {
    promise(e.what()[0] != '\0', "an error says what it is");
    if (is_secret(text)) check_is_hidden(e.what());
    return 0;
  }
  check(text, *address);
  return 0;
}
