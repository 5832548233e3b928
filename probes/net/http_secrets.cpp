#include "probes/net/http_secrets.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <openssl/evp.h>

namespace vitalsd::net {
namespace {

// Headers without secrets, whose values occur in other texts.
constexpr std::array<std::string_view, 5> kPublicHeaders = {"Accept", "Accept-Encoding",
                                                            "Content-Type", "Host", "User-Agent"};

// The value of a header of basic authentication.
std::string basic(const std::string& user, const std::string& password) {
  const std::string text = user + ':' + password;
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');  // with NUL
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

void conceal_password(const std::string& user, const std::string& password, SampleSet& out) {
  if (password.empty()) return;
  out.conceal(password);
  out.conceal(basic(user, password));
}

}  // namespace

void conceal_secrets(const HttpRequest& request, SampleSet& out) {
  conceal_password(request.user, request.password, out);
  if (request.proxy) conceal_password(request.proxy->user, request.proxy_password, out);
  out.conceal(request.bearer);
  if (request.aws) {
    out.conceal(request.aws->access_key);
    out.conceal(request.aws->secret_key);
    out.conceal(request.aws->session_token);
  }
  for (const auto& [name, value] : request.headers) {
    const auto is_this = [&](std::string_view other) { return same_header(name, other); };
    if (std::ranges::any_of(kPublicHeaders, is_this)) continue;
    out.conceal(value);
    // A server may quote the token of "Bearer TOKEN" only.
    if (is_this("Authorization") || is_this("Proxy-Authorization")) {
      out.conceal(value.substr(value.find(' ') + 1));
    }
  }
}

}  // namespace vitalsd::net
