#include "probes/net/options.hpp"

namespace vitalsd::net {

config::Secret read_password(config::Node& options, const config::Url& url) {
  config::Secret password = options.secret("password", "of the user");
  if (url.password.empty()) return password;
  if (password) {
    options.error("password", "must not be set together with a password in the URL");
    return password;
  }
  options.warning("url", "a password in a URL is easily disclosed: use password: {file: PATH}");
  return config::Secret::literal(url.password);
}

}  // namespace vitalsd::net

namespace vitalsd::config {

Parsed<net::Pattern> Scalar<net::Pattern>::parse(std::string_view text) {
  RE2::Options options;
  options.set_log_errors(false);
  auto regex = std::make_shared<const RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (!regex->ok()) {
    return std::unexpected(quoted(text) + " is not a regular expression: " + regex->error());
  }
  return net::Pattern{std::string(text), std::move(regex)};
}

}  // namespace vitalsd::config
