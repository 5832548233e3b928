#include "probes/net/connection_key.hpp"

#include "probes/net/http_client.hpp"

#include <array>
#include <cctype>
#include <string_view>

#include <openssl/evp.h>

namespace vitalsd::net {
namespace {

// The length prefix makes the text unique for each list of fields.
void add(std::string& text, std::string_view field) {
  text += std::to_string(field.size()) + ':';
  text += field;
}

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Returns a hash, because the fields can contain a private key and are too long for a host name.
std::string sha256(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += {kDigits[digest[i] >> 4], kDigits[digest[i] & 15]};
  return out;
}

}  // namespace

std::string connection_key(const HttpRequest& request) {
  std::string fields;
  add(fields, request.url.scheme);
  add(fields, lower_case(request.url.host));
  add(fields, std::to_string(port_of(request.url)));
  add(fields, std::to_string(static_cast<int>(request.ip)));
  add(fields, request.http2 ? "http2" : "http1");
  add(fields, request.on_data ? "stream" : "");
  if (request.url.scheme == "https") {
    const TlsOptions& tls = request.tls;
    add(fields, lower_case(tls.server_name));
    add(fields, tls.ca);
    add(fields, tls.certificate);
    add(fields, tls.key);
    add(fields, tls.verify ? "verified" : "");
  }
  return "kept-" + sha256(fields);
}

}  // namespace vitalsd::net
