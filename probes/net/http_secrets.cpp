#include "probes/net/http_secrets.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <openssl/evp.h>

namespace vitalsd::net {
namespace {

// Headers without secrets, whose values occur in other texts, such as the scheme and the host of a
// URL. So do those whose names start with X-Forwarded-.
constexpr std::array<std::string_view, 14> kPublicHeaders = {"Accept",
                                                             "Accept-Encoding",
                                                             "Accept-Language",
                                                             "Cache-Control",
                                                             "Connection",
                                                             "Content-Type",
                                                             "Host",
                                                             "Origin",
                                                             "Pragma",
                                                             "Range",
                                                             "Referer",
                                                             "User-Agent",
                                                             "Via",
                                                             "x-amz-content-sha256"};

bool is_public(std::string_view header) {
  constexpr std::string_view kForwarded = "X-Forwarded-";
  return same_header(header.substr(0, kForwarded.size()), kForwarded) ||
         std::ranges::any_of(kPublicHeaders,
                             [&](std::string_view other) { return same_header(header, other); });
}

void conceal_password(const std::string& user, const std::string& password, SampleSet& out) {
  if (password.empty()) return;
  out.conceal(password);
  out.conceal(basic_credentials(user, password));
}

// `cookies` has the form "name=value; name=value".
void conceal_cookies(std::string_view cookies, SampleSet& out) {
  while (!cookies.empty()) {
    const std::string_view cookie = cookies.substr(0, cookies.find(';'));
    out.conceal(std::string(cookie.substr(cookie.find('=') + 1)));
    cookies.remove_prefix(std::min(cookie.size() + 1, cookies.size()));
  }
}

}  // namespace

std::string basic_credentials(const std::string& user, const std::string& password) {
  const std::string text = user + ':' + password;
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');  // with NUL
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

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
    if (is_public(name)) continue;
    out.conceal(value);
    // A server may quote the token of "Bearer TOKEN" only, or the value of one of several cookies.
    if (same_header(name, "Authorization") || same_header(name, "Proxy-Authorization")) {
      out.conceal(value.substr(value.find(' ') + 1));
    } else if (same_header(name, "Cookie")) {
      conceal_cookies(value, out);
    }
  }
}

}  // namespace vitalsd::net
