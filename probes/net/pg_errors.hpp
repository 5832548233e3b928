// Classifies PostgreSQL errors into reasons, by SQLSTATE or, if there is none, by libpq's text.
// Pure functions.
#pragma once

#include "probes/error.hpp"

#include <string>
#include <string_view>

namespace vitalsd::net {

/// The reason for an SQLSTATE; Reason::mismatch if the table has no row for the code.
Reason pg_reason(std::string_view sqlstate);

/// The SQLSTATE in libpq's verbose text of a failed connection; empty if the text contains none.
/// libpq 15 has no function for it.
std::string_view pg_sqlstate(std::string_view message);

/// The error for a login that failed. `message` is the verbose text of libpq.
ProbeError pg_login_error(std::string_view message);

/// libpq's text on one line, without the source location at the end of verbose texts.
std::string pg_error_text(std::string_view message);

}  // namespace vitalsd::net
