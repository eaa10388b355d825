"""privydns, the lookup program."""
from harness import NAME, PRIVYDNS, SystemTest, Unbound, run


class Lookup(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.begin_for_class(
            Unbound(cls.path("unbound"), "127.0.0.2", 853, cls.certificate))

    def lookup(self, *arguments):
        done = run(PRIVYDNS, "--ca-file", self.ca.crt, *arguments)
        return done.returncode, done.stdout, done.stderr

    def dot(self, *arguments):
        return self.lookup("-u", f"tls://127.0.0.2#{NAME}", *arguments)

    def test_short(self):
        self.assertEqual(self.dot("--short", "www.example"), (0, "192.0.2.10\n", ""))
        self.assertEqual(self.dot("--short", "AAAA", "www.example")[:2], (0, "2001:db8::10\n"))
        self.assertEqual(sorted(self.dot("--short", "example", "MX")[1].splitlines()),
                         ["10 mail.example.", "20 backup.example."])

    def test_at_sign_and_protocol(self):
        self.assertEqual(self.lookup(f"@tls://127.0.0.2#{NAME}", "-P", "dot", "--short",
                                     "www.example")[:2], (0, "192.0.2.10\n"))

    def test_authorities_are_of_those_that_have_certificates(self):
        code, out, error = self.dot("-u", "udp://127.0.0.3", "--short", "www.example")
        self.assertEqual((code, out), (0, "192.0.2.10\n"), error)
        code, out, error = self.lookup("-u", "udp://127.0.0.3", "-u", f"tls://127.0.0.2#{NAME}",
                                       "--short", "www.example")
        self.assertEqual((code, out), (0, "192.0.2.10\n"), error)

    def test_long_form_names_type_and_upstream(self):
        code, out, _ = self.dot("alias1.example")
        self.assertEqual(code, 0)
        for word in ("CNAME", "alias3.example.", "192.0.2.10", "dot"):
            self.assertIn(word, out)

    def test_help_shows_every_kind_of_upstream(self):
        code, out, _ = self.lookup("-h")
        self.assertEqual(code, 0)
        for scheme in ("tls", "https", "sdns", "udp", "tcp"):
            self.assertIn(f"{scheme}://", out)

    def test_reverse(self):
        self.assertEqual(self.dot("-x", "192.0.2.10")[0], 1)

    def test_exit_codes(self):
        self.assertEqual(self.dot("nothing.example")[0], 1)
        self.assertEqual(self.dot("onlytxt.example")[0], 1)
        for arguments in ([], ["--nonsense"], ["-u", "nonsense://x", "www.example"],
                          ["a.example", "b.example"]):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.lookup(*arguments)[0], 2)
        code, _, error = self.lookup("-u", f"tls://127.0.0.3#{NAME}", "www.example")
        self.assertEqual(code, 3)
        self.assertIn("127.0.0.3", error)

    def test_wrong_name_is_3_and_says_why(self):
        code, out, error = self.lookup("-u", "tls://127.0.0.2#other.example", "www.example")
        self.assertEqual((code, out), (3, ""))
        self.assertRegex(error, "(?i)name|match")
