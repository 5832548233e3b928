// libpq's messages about failed connections, and a server's authentication requests.
#include "probes/net/pg_auth.hpp"
#include "probes/net/pg_connection.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  net::pg_reason(net::pg_sqlstate(text));
  const net::PgAuthRequest request = net::read_pg_auth_request(text);
  const bool incomplete = request.kind == net::PgAuthRequest::Kind::incomplete;
  if (incomplete != (request.needs > size)) std::abort();  // the client would wait forever
  net::refuse_pg_auth(request, false, false);
  return 0;
}
