#include <fmt/core.h>

#include <algorithm>

#include "percent.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/connection.hpp"

namespace schemagate {

std::string ConnectionString::with_application_name(const std::string& name) const {
  if (!is_url_) {
    auto named = *this;
    named.set("application_name", name);
    return named.as_key_value();
  }
  const auto question = std::min(text_.find('?'), text_.size());
  auto url = text_.substr(0, question) + "?application_name=" + percent_encoded(name);
  for (const auto& pair : split(text_.substr(std::min(question + 1, text_.size())), '&'))
    if (!pair.empty() &&
        percent_decoded(pair.substr(0, pair.find('=')), "parameters") != "application_name")
      url += '&' + pair;
  return url;
}

std::string ConnectionString::url() const {
  const auto user = value("user").empty() ? "" : percent_encoded(value("user")) + "@";
  const auto name = percent_encoded(database());
  const auto host = value("host");
  const bool is_one_name = !host.empty() && host.find_first_of("/,:@") == std::string::npos;
  if (is_one_name && value("hostaddr").empty())
    return fmt::format("postgresql://{}{}{}/{}", user, percent_encoded(host),
                       value("port").empty() ? "" : ":" + value("port"), name);
  std::string parameters;
  for (const auto* key : {"host", "hostaddr", "port"}) {
    if (value(key).empty()) continue;
    auto parts = split(value(key), '/');
    for (auto& part : parts) part = percent_encoded(part);
    parameters += fmt::format("{}{}={}", parameters.empty() ? '?' : '&', key, join(parts, "/"));
  }
  return fmt::format("postgresql://{}/{}{}", user, name, parameters);
}

}  // namespace schemagate
