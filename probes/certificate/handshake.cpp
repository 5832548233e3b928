#include "probes/certificate/handshake.hpp"

#include "probes/net/http_client.hpp"
#include "probes/net/stream.hpp"

#include <array>
#include <memory>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

namespace vitalsd {
namespace {

using Chain = std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)>;

// The chain as OpenSSL met it in the handshake.
struct Capture {
  Chain chain{nullptr, [](STACK_OF(X509) * list) { sk_X509_pop_free(list, X509_free); }};
};

int capture_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Takes the place of OpenSSL's verification: keeps what was sent and lets the handshake go on.
int capture_chain(X509_STORE_CTX* context, void* /*unused*/) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* capture = static_cast<Capture*>(SSL_get_ex_data(ssl, capture_index()));
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(context);
  if (capture != nullptr && sent != nullptr) capture->chain.reset(X509_chain_up_ref(sent));
  return 1;
}

VerifyFault fault_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return VerifyFault::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return VerifyFault::not_yet_valid;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return VerifyFault::self_signed;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return VerifyFault::untrusted;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return VerifyFault::wrong_host;
    default:
      return VerifyFault::other;
  }
}

// Holds the chain against the trusted CAs and the name, as a client would.
void verify(STACK_OF(X509) * chain, X509_STORE* store, const std::string& name,
            ServerCertificate& out) {
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(
      X509_STORE_CTX_new(), X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store, sk_X509_value(chain, 0), chain);
  X509_STORE_CTX_set_default(context.get(), "ssl_server");
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  boost::system::error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (not_an_address) {
    X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str());
  }
  if (X509_verify_cert(context.get()) == 1) return;
  const int error = X509_STORE_CTX_get_error(context.get());
  out.fault = fault_of(error);
  out.fault_text = X509_verify_cert_error_string(error);
}

// Whatever the case of the letters is: IMAP's words have none.
bool begins(std::string_view line, std::string_view front) {
  return net::same_header(line.substr(0, front.size()), front);
}

// Reads until a whole line, or a whole answer of several lines, is there.
class LineReader {
 public:
  explicit LineReader(net::Stream& stream) : stream_(stream) {}

  asio::awaitable<std::string> line() {
    constexpr std::size_t kLongest = 4096;
    for (;;) {
      const std::size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string found = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        if (found.ends_with('\r')) found.pop_back();
        co_return found;
      }
      if (buffer_.size() > kLongest)
        throw ProbeError(Reason::protocol, "the server's line does not end");
      std::array<char, 512> piece{};
      const std::size_t size = co_await stream_.read_some(piece);
      buffer_.append(piece.data(), size);
    }
  }

  /// The last line of a "220-..." answer.
  asio::awaitable<std::string> smtp_answer() {
    for (int i = 0; i < kMaxLines; ++i) {
      std::string found = co_await line();
      if (found.size() < 4 || found[3] != '-') co_return found;
    }
    throw_endless();
  }

  /// The same of FTP, where the lines in between are any text (RFC 959, 4.2).
  asio::awaitable<std::string> ftp_answer() {
    std::string found = co_await line();
    if (found.size() < 4 || found[3] != '-') co_return found;
    const std::string end = found.substr(0, 3) + ' ';
    for (int i = 1; i < kMaxLines; ++i) {
      found = co_await line();
      if (found.starts_with(end)) co_return found;
    }
    throw_endless();
  }

  /// The tagged line of an IMAP answer. A server may send untagged ones at any time (RFC 3501, 7);
  /// of them only BYE, after which it closes the connection, is the answer.
  asio::awaitable<std::string> imap_answer() {
    for (int i = 0; i < kMaxLines; ++i) {
      std::string found = co_await line();
      if (!found.starts_with("* ") || begins(found, "* BYE")) co_return found;
    }
    throw_endless();
  }

 private:
  static constexpr int kMaxLines = 100;

  [[noreturn]] static void throw_endless() {
    throw ProbeError(Reason::protocol, "the server's answer does not end");
  }

  net::Stream& stream_;
  std::string buffer_;
};

void expect(const std::string& line, std::string_view front, std::string_view what) {
  if (begins(line, front)) return;
  throw ProbeError(Reason::mismatch,
                   std::string(what) + " was answered with " + config::quoted(line));
}

asio::awaitable<void> ask_for_tls(net::Stream& stream, StartTls protocol) {
  LineReader reader(stream);
  switch (protocol) {
    case StartTls::none:
      co_return;
    case StartTls::smtp: {
      expect(co_await reader.smtp_answer(), "220", "the connection");
      co_await stream.write("EHLO vitalsd\r\n");
      expect(co_await reader.smtp_answer(), "250", "EHLO");
      co_await stream.write("STARTTLS\r\n");
      expect(co_await reader.smtp_answer(), "220", "STARTTLS");
      co_return;
    }
    case StartTls::ftp: {
      expect(co_await reader.ftp_answer(), "220", "the connection");
      co_await stream.write("AUTH TLS\r\n");
      expect(co_await reader.ftp_answer(), "234", "AUTH TLS");
      co_return;
    }
    case StartTls::imap: {
      const std::string greeting = co_await reader.line();
      // Behind a proxy that has signed in already; what it says to STARTTLS is its own affair.
      if (!begins(greeting, "* PREAUTH")) expect(greeting, "* OK", "the connection");
      co_await stream.write("a STARTTLS\r\n");
      expect(co_await reader.imap_answer(), "a OK", "STARTTLS");
      co_return;
    }
    case StartTls::pop3: {
      expect(co_await reader.line(), "+OK", "the connection");
      co_await stream.write("STLS\r\n");
      expect(co_await reader.line(), "+OK", "STLS");
      co_return;
    }
    case StartTls::postgres: {
      // SSLRequest: length 8, code 80877103 (PostgreSQL's documentation, "Message Formats").
      co_await stream.write(std::string_view("\0\0\0\x08\x04\xd2\x16\x2f", 8));
      std::array<char, 1> answer{};
      co_await stream.read_some(answer);
      if (answer[0] != 'S') throw ProbeError(Reason::mismatch, "the server speaks no TLS");
      co_return;
    }
  }
}

// A context of its own, as capturing instead of verifying is nothing to share.
std::shared_ptr<asio::ssl::context> capturing_context(const net::TlsOptions& options) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  context->set_verify_mode(asio::ssl::verify_none);
  net::refuse_large_primes(context->native_handle());
  SSL_CTX_set_cert_verify_callback(context->native_handle(), &capture_chain, nullptr);
  if (options.certificate.empty()) return context;
  net::refuse_irregular(options.certificate);
  net::refuse_irregular(options.key);
  boost::system::error_code error;
  context->use_certificate_chain_file(options.certificate, error);
  if (!error) context->use_private_key_file(options.key, asio::ssl::context::pem, error);
  if (error)
    throw ProbeError(Reason::config, "cannot use " + options.certificate + ": " + error.message());
  return context;
}

}  // namespace

std::string_view fault_name(VerifyFault fault) {
  switch (fault) {
    case VerifyFault::expired:
      return "expired";
    case VerifyFault::not_yet_valid:
      return "not_yet_valid";
    case VerifyFault::self_signed:
      return "self_signed";
    case VerifyFault::untrusted:
      return "untrusted";
    case VerifyFault::wrong_host:
      return "wrong_host";
    case VerifyFault::other:
      return "other";
  }
  return "";
}

asio::awaitable<ServerCertificate> fetch_certificate(const Environment& environment,
                                                     const config::Endpoint& endpoint,
                                                     StartTls start_tls,
                                                     const net::TlsOptions& options,
                                                     SampleSet& out) {
  net::Stream stream = co_await net::open_stream(environment, endpoint, nullptr, out);
  if (start_tls != StartTls::none) {
    out.doing("asking for TLS");
    co_await ask_for_tls(stream, start_tls);
  }
  out.doing("making TLS with " + endpoint.text());
  Capture capture;
  net::TlsOptions unverified = options;
  unverified.verify = false;
  const auto context = capturing_context(options);
  const auto prepare = [&](SSL* ssl) { SSL_set_ex_data(ssl, capture_index(), &capture); };
  std::optional<ProbeError> failed;
  try {
    co_await stream.start_tls(context, unverified, endpoint.host, prepare);
  } catch (const ProbeError& error) {
    if (!capture.chain) throw;
    failed = error;
  }
  if (!capture.chain || sk_X509_num(capture.chain.get()) == 0) {
    throw ProbeError(Reason::tls, "the server showed no certificate");
  }
  ServerCertificate found;
  found.leaf = net::describe(*sk_X509_value(capture.chain.get(), 0));
  found.chain_expiry = net::earliest_expiry(capture.chain.get());
  if (options.verify) {
    const std::string& name = options.server_name.empty() ? endpoint.host : options.server_name;
    verify(capture.chain.get(), environment.tls.store(options.ca), name, found);
  }
  co_return found;
}

}  // namespace vitalsd
