#include "schemagate/base/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

namespace schemagate {

std::string trim(std::string_view text) {
  constexpr std::string_view k_blank = " \t\r\n\v\f";
  const auto first = text.find_first_not_of(k_blank);
  if (first == std::string_view::npos) return {};
  return std::string{text.substr(first, text.find_last_not_of(k_blank) - first + 1)};
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find(separator, start), text.size());
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (const auto& part : parts) {
    if (&part != &parts.front()) joined += separator;
    joined += part;
  }
  return joined;
}

std::string without_carriage_returns(std::string text) {
  std::erase(text, '\r');
  return text;
}

std::string lower_case(std::string_view text) {
  std::string lower{text};
  for (auto& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string shell_word(std::string_view text) {
  constexpr std::string_view k_harmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,=";
  if (!text.empty() && text.front() != '-' &&
      text.find_first_not_of(k_harmless) == std::string_view::npos)
    return std::string{text};
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const auto distance = edit_distance(lower_case(word), lower_case(candidate));
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

std::size_t character_count(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string shortened(std::string_view text, std::size_t size_max) {
  constexpr std::string_view k_ellipsis = "...";
  if (text.size() <= size_max) return std::string{text};
  auto end = size_max - std::min(size_max, k_ellipsis.size());
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string{text.substr(0, end)} + std::string{k_ellipsis};
}

namespace {

// Length of the valid UTF-8 sequence at the start of `bytes`, or 0; `consumed` is then how many
// bytes one U+FFFD stands for (WHATWG: the longest prefix of a valid sequence, at least one).
std::size_t sequence_length(std::string_view bytes, std::size_t& consumed) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const auto first = at(0);
  consumed = 1;
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;  // no surrogates
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else return 0;
  for (; consumed < length; ++consumed) {
    if (consumed >= bytes.size() || at(consumed) < low || at(consumed) > high) return 0;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string valid;
  valid.reserve(bytes.size());
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  while (!bytes.empty()) {
    const auto ascii = static_cast<std::size_t>(
        std::find_if_not(bytes.begin(), bytes.end(), is_ascii) - bytes.begin());
    valid += bytes.substr(0, ascii);
    bytes.remove_prefix(ascii);
    if (bytes.empty()) break;
    std::size_t consumed = 0;
    const auto length = sequence_length(bytes, consumed);
    if (length == 0) valid += "\xEF\xBF\xBD";
    else valid += bytes.substr(0, length);
    bytes.remove_prefix(length == 0 ? consumed : length);
  }
  return valid;
}

namespace {

struct Obeyed {
  std::size_t length;
  unsigned number;  // of the character
};

// C0, DEL, C1 (ECMA-48); U+2028 to 202E and U+2066 to 2069 (line ends and directions of Unicode).
std::optional<Obeyed> obeyed_by_terminals(std::string_view utf8) {
  const auto at = [&](std::size_t i) -> unsigned {
    return i < utf8.size() ? static_cast<unsigned char>(utf8[i]) : 0;
  };
  const auto first = at(0);
  if (first == '\t' || first == '\n') return std::nullopt;
  if (first < 0x20 || first == 0x7F) return Obeyed{1, first};
  if (first == 0xC2 && at(1) < 0xA0) return Obeyed{2, at(1)};
  if (first == 0xE2 && at(1) == 0x80 && at(2) >= 0xA8 && at(2) <= 0xAE)
    return Obeyed{3, 0x2000 + at(2) - 0x80};
  if (first == 0xE2 && at(1) == 0x81 && at(2) >= 0xA6 && at(2) <= 0xA9)
    return Obeyed{3, 0x2040 + at(2) - 0x80};
  return std::nullopt;
}

}  // namespace

std::string printable(std::string_view text) {
  const auto valid = valid_utf8(text);
  std::string shown;
  shown.reserve(valid.size());
  for (std::size_t i = 0; i < valid.size();) {
    const std::string_view rest = std::string_view{valid}.substr(i);
    const auto obeyed = obeyed_by_terminals(rest);
    const bool is_line_end = rest == "\r" || rest.starts_with("\r\n");
    if (!obeyed) shown += valid[i];
    else if (!is_line_end) shown += fmt::format("\\u{:04x}", obeyed->number);
    i += obeyed ? obeyed->length : 1;
  }
  return shown;
}

}  // namespace schemagate
