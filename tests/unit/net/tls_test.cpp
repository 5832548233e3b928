#include "probes/net/tls.hpp"

#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/timer_wheel.hpp"

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/certificate.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/readers.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>

namespace vitalsd::net {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// ---- options ------------------------------------------------------------------------------------

TEST(TlsOptionsTest, VerifyByDefault) {
  const auto [options, problems] = test::read_options<TlsOptions>("{}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(options, TlsOptions());
  EXPECT_TRUE(options.verify);
}

TEST(TlsOptionsTest, ReadAllKeysOfTheSection) {
  const auto [options, problems] = test::read_options<TlsOptions>(
      "{tls: {ca: /ca, verify: false, server_name: db, certificate: /cert, key: /key}}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(options.ca, "/ca");
  EXPECT_FALSE(options.verify);
  EXPECT_EQ(options.server_name, "db");
  EXPECT_EQ(options.certificate, "/cert");
  EXPECT_EQ(options.key, "/key");
}

TEST(TlsOptionsTest, RequireCertificateAndKeyTogether) {
  EXPECT_THAT(test::read_options<TlsOptions>("{tls: {certificate: /cert}}").second,
              HasSubstr("certificate and key must be set together"));
  EXPECT_THAT(test::read_options<TlsOptions>("{tls: {key: /key}}").second,
              HasSubstr("certificate and key must be set together"));
}

// The contexts, and what they need.
class Contexts {
 public:
  std::shared_ptr<asio::ssl::context> client(const TlsOptions& options) {
    return test::Task(loop_, contexts_.client(options)).get();
  }
  std::shared_ptr<X509_STORE> store(const std::string& ca) {
    return test::Task(loop_, contexts_.store(ca)).get();
  }

 private:
  asio::io_context loop_{1};
  TimerWheel wheel_{loop_};
  ConfiguredFiles files_{loop_, wheel_};
  TlsContexts contexts_{files_};
};

// ---- handshakes ---------------------------------------------------------------------------------

// Whether a TLS 1.2 handshake succeeds if its key exchange uses the prime of this group.
bool handshake_succeeds(const char* group) {
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
  using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;
  Contexts contexts;
  TlsOptions options;
  options.verify = false;
  const auto client_context = contexts.client(options);

  const Context server_context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  const test::detail::Key key(EVP_RSA_gen(2048));
  const test::detail::X509Ptr certificate(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 60);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  SSL_CTX_use_certificate(server_context.get(), certificate.get());
  SSL_CTX_use_PrivateKey(server_context.get(), key.get());
  SSL_CTX_set_max_proto_version(server_context.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(server_context.get(), "DHE-RSA-AES128-GCM-SHA256");
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> modulo(
      EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr), EVP_PKEY_CTX_free);
  EVP_PKEY* parameters = nullptr;
  EVP_PKEY_keygen_init(modulo.get());
  EVP_PKEY_CTX_set_group_name(modulo.get(), group);
  EVP_PKEY_generate(modulo.get(), &parameters);
  SSL_CTX_set0_tmp_dh_pkey(server_context.get(), parameters);

  const Session client(SSL_new(client_context->native_handle()), SSL_free);
  const Session server(SSL_new(server_context.get()), SSL_free);
  BIO* client_bio = nullptr;
  BIO* server_bio = nullptr;
  BIO_new_bio_pair(&client_bio, 1 << 16, &server_bio, 1 << 16);
  SSL_set_bio(client.get(), client_bio, client_bio);
  SSL_set_bio(server.get(), server_bio, server_bio);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  ERR_clear_error();
  return SSL_is_init_finished(client.get()) != 0 && SSL_is_init_finished(server.get()) != 0;
}

TEST(LargePrimesTest, AreRefused) {
  EXPECT_TRUE(handshake_succeeds("ffdhe2048"));
  EXPECT_TRUE(handshake_succeeds("ffdhe4096"));  // some servers prefer it to curves
  EXPECT_FALSE(handshake_succeeds("ffdhe6144"));
}

// ---- contexts -----------------------------------------------------------------------------------

class TlsContextsTest : public testing::Test {
 protected:
  std::shared_ptr<asio::ssl::context> client(const TlsOptions& options) {
    return contexts_.client(options);
  }
  static std::string failure(const std::function<void()>& action) {
    try {
      action();
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::config);
      return error.what();
    }
    return "none";
  }
  static TlsOptions trusting(const std::string& ca) {
    TlsOptions options;
    options.ca = ca;
    return options;
  }
  // Whether a store trusts the certificate.
  static bool trusts(X509_STORE* store, const test::Certificate& certificate) {
    const test::detail::X509Ptr x509(PEM_read_bio_X509(
        test::detail::reading(certificate.certificate).get(), nullptr, nullptr, nullptr));
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check(
        X509_STORE_CTX_new(), X509_STORE_CTX_free);
    X509_STORE_CTX_init(check.get(), store, x509.get(), nullptr);
    return X509_verify_cert(check.get()) == 1;
  }
  // Replaces a file by rename, as the rotation of a Secret does.
  void replace(const std::string& path, std::string_view content) const {
    std::filesystem::rename(directory_.file("new", content), path);
  }

  test::TempDirectory directory_;
  Contexts contexts_;
  test::Certificate ca_ = test::make_certificate("ca");
  test::Certificate other_ = test::make_certificate("other");
};

TEST_F(TlsContextsTest, ShareAContextForEqualOptions) {
  const TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  const auto first = client(options);
  EXPECT_EQ(client(options), first);
  TlsOptions named = options;  // the server name is set for each connection
  named.server_name = "db";
  EXPECT_EQ(client(named), first);
}

TEST_F(TlsContextsTest, UseSeparateContextsForDifferentOptions) {
  const TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  const auto first = client(options);
  TlsOptions unverified = options;
  unverified.verify = false;
  EXPECT_NE(client(unverified), first);
  EXPECT_NE(client(trusting(directory_.file("other.pem", other_.certificate))), first);
  TlsOptions known = options;
  known.certificate = directory_.file("cert.pem", other_.certificate);
  known.key = directory_.file("key.pem", other_.key);
  EXPECT_NE(client(known), first);
}

TEST_F(TlsContextsTest, VerifyOnlyIfConfigured) {
  TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_PEER);
  options.verify = false;
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_NONE);
  options.ca = "/nonexistent/ca.pem";  // is not read
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_NONE);
}

TEST_F(TlsContextsTest, RequireTls12AndResumeNoSessions) {
  SSL_CTX* const context = client(trusting(ca_.certificate))->native_handle();
  EXPECT_EQ(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);
  EXPECT_EQ(SSL_CTX_get_session_cache_mode(context), SSL_SESS_CACHE_OFF);
}

TEST_F(TlsContextsTest, ReadReplacedFilesAgain) {
  TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  options.certificate = directory_.file("cert.pem", ca_.certificate);
  options.key = directory_.file("key.pem", ca_.key);
  const auto first = client(options);
  replace(options.ca, other_.certificate);
  const auto second = client(options);
  EXPECT_NE(second, first);
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(second->native_handle()), other_));
  EXPECT_FALSE(trusts(SSL_CTX_get_cert_store(second->native_handle()), ca_));
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(first->native_handle()),
                     ca_));  // a context in use does not change
  replace(options.certificate, other_.certificate);
  replace(options.key, other_.key);
  EXPECT_NE(client(options), second);
}

TEST_F(TlsContextsTest, AcceptPemTextInsteadOfACaFile) {
  const auto store = contexts_.store(ca_.certificate + other_.certificate);
  EXPECT_TRUE(trusts(store.get(), ca_));
  EXPECT_TRUE(trusts(store.get(), other_));
  EXPECT_FALSE(trusts(store.get(), test::make_certificate("untrusted")));
  EXPECT_EQ(contexts_.store(ca_.certificate + other_.certificate), store);
}

// A kubeconfig can have one as text and the other as a file.
TEST_F(TlsContextsTest, AcceptPemTextForTheCertificateOrItsKey) {
  TlsOptions options = trusting(ca_.certificate);
  options.certificate = ca_.certificate + other_.certificate;
  options.key = directory_.file("key.pem", ca_.key);
  const auto context = client(options);
  EXPECT_EQ(client(options), context);
  SSL_CTX* const native = context->native_handle();
  EXPECT_NE(SSL_CTX_get0_privatekey(native), nullptr);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> copy(SSL_CTX_new(TLS_client_method()),
                                                               SSL_CTX_free);
  copy_certificate(native, copy.get());
  EXPECT_EQ(SSL_CTX_get0_certificate(copy.get()), SSL_CTX_get0_certificate(native));
  EXPECT_EQ(SSL_CTX_get0_privatekey(copy.get()), SSL_CTX_get0_privatekey(native));
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(copy.get(), &chain);
  EXPECT_EQ(sk_X509_num(chain), 1);
}

TEST_F(TlsContextsTest, ReportACaFileThatCannotBeUsed) {
  for (const std::string& file :
       {directory_.file("empty.pem", ""), directory_.file("text.pem", "no certificate"),
        directory_.file("key.pem", ca_.key)}) {
    EXPECT_THAT(failure([&] { client(trusting(file)); }),
                StartsWith("cannot use the CA file " + file + ": "));
  }
  EXPECT_EQ(failure([&] { client(trusting("/nonexistent/ca.pem")); }),
            "cannot read /nonexistent/ca.pem: No such file or directory");
  EXPECT_THAT(failure([&] { client(trusting("-----BEGIN CERTIFICATE-----\nx\n")); }),
              StartsWith("no usable CA certificate: "));
}

TEST_F(TlsContextsTest, UseACaFileAsSoonAsItExists) {
  const TlsOptions options = trusting(directory_.path("ca.pem"));
  EXPECT_NE(failure([&] { client(options); }), "none");
  ASSERT_EQ(directory_.file("ca.pem", ca_.certificate), options.ca);
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(client(options)->native_handle()), ca_));
}

TEST_F(TlsContextsTest, ReportAClientCertificateThatCannotBeUsed) {
  TlsOptions options = trusting(ca_.certificate);
  options.certificate = directory_.file("cert.pem", ca_.certificate);
  options.key = directory_.file("key.pem", other_.key);
  EXPECT_THAT(failure([&] { client(options); }),
              AllOf(StartsWith("cannot use the client certificate " + options.certificate),
                    HasSubstr(options.key), HasSubstr("key values mismatch")));
  const test::Profile rsa{.make_key = [] { return EVP_RSA_gen(2048); }};
  options.key = test::make_certificate("rsa", std::nullopt, rsa).key;
  EXPECT_EQ(failure([&] { client(options); }), "cannot use the client certificate " +
                                                   options.certificate +
                                                   " with PEM text: key type mismatch");
  options.key = "/nonexistent/key.pem";
  EXPECT_THAT(failure([&] { client(options); }), HasSubstr("/nonexistent/key.pem"));
  options.certificate = "/nonexistent/cert.pem";
  EXPECT_THAT(failure([&] { client(options); }), HasSubstr("/nonexistent/cert.pem"));
}

// ---- helper functions ---------------------------------------------------------------------------

TEST(PemTest, IsDistinguishedFromAFileName) {
  EXPECT_TRUE(is_pem("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_TRUE(is_pem("# a comment\n-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_FALSE(is_pem("/etc/ssl/ca.pem"));
  EXPECT_FALSE(is_pem("/etc/BEGIN CERTIFICATE"));
  EXPECT_FALSE(is_pem(""));
}

TEST(OpensslErrorsTest, AreAllTakenInOrder) {
  ERR_clear_error();
  EXPECT_EQ(take_openssl_errors(), "");
  ERR_raise(ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL);
  ERR_raise(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH);
  EXPECT_EQ(take_openssl_errors(), "unsupported protocol, key values mismatch");
  EXPECT_EQ(take_openssl_errors(), "");
}

TEST(SystemCaBundleTest, IsSslCertFileIfItExists) {
  const test::TempDirectory directory;
  const char* const chosen = std::getenv("SSL_CERT_FILE");
  const std::optional<std::string> before =
      chosen == nullptr ? std::nullopt : std::optional<std::string>(chosen);
  const std::string file = directory.file("ca.pem", "x");
  setenv("SSL_CERT_FILE", file.c_str(), 1);
  EXPECT_EQ(system_ca_bundle(), file);
  for (const std::string& no_file : {directory.path("missing.pem"), directory.path("")}) {
    setenv("SSL_CERT_FILE", no_file.c_str(), 1);
    EXPECT_NE(system_ca_bundle(), no_file);
  }
  if (before) {
    setenv("SSL_CERT_FILE", before->c_str(), 1);
  } else {
    unsetenv("SSL_CERT_FILE");
  }
}

TEST(TlsFilesTest, RejectAFifoInsteadOfWaitingForItsWriter) {
  const test::TempDirectory directory;
  const std::string fifo = directory.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  Contexts contexts;
  TlsOptions options;
  options.ca = fifo;
  EXPECT_THROW(contexts.client(options), ProbeError);
  options.ca.clear();
  options.verify = false;
  options.certificate = options.key = fifo;
  EXPECT_THROW(contexts.client(options), ProbeError);
}

}  // namespace
}  // namespace vitalsd::net
