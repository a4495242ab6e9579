#pragma once
// What the server says of people's rows, taken out of its errors: logs, histories and markers keep
// them for long. Whatever language it speaks. Pure.

#include <string>
#include <string_view>

namespace schemagate::pg {

struct Error;

// Values in message, detail and context become "…"; constraint, table and columns stay, and so does
// what the script `sql` says itself. What a script raises by itself is its author's word.
void take_out_row_data(Error& error, std::string_view sql);

}  // namespace schemagate::pg
