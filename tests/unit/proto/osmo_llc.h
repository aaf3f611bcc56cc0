/* SPDX-License-Identifier: Apache-2.0 */
/* LLC frames out of Gb captures: osmo-sgsn's are golden; the equipment's were accepted by it. */
static const struct {
	const char *from, *what;
	int down;
	const char *hex;
} osmo_llc[] = {
	{ "trial equipment", "Attach Request", 0,
	  "01c001080102610071000a08091010000000001000f110fffeff1918b3432b2596620060809ac2c662006080bac8c6620060800039437a" },
	{ "osmo-sgsn", "Identity Request", 1,
	  "41c001081502de8e9a" },
	{ "trial equipment", "Identity Response", 0,
	  "01c0050816083a153204000000016ac307" },
	{ "osmo-sgsn", "Attach Accept", 1,
	  "01c0050802012a4400f11000010117161805f4feec2264885bb7" },
	{ "trial equipment", "Attach Complete", 0,
	  "01c009080339d7bc" },
	{ "trial equipment", "Activate PDP Context Request", 0,
	  "01c00d0a4105030b23621f7296404074030000020121280c0470726f7606646c7573696d27178080211001000010810600000000830600"
	  "000000000d00b17269" },
	{ "osmo-sgsn", "Activate PDP Context Accept", 1,
	  "01c0098a42030e23621f72993f3f1143ffff000000042b0601210a2d000127158080210a0200000a81060a630001000d040a630001cfa5"
	  "e3" },
	{ "trial equipment", "Detach Request", 0,
	  "01c011080501f0c02d" },
	{ "osmo-sgsn", "Detach Accept", 1,
	  "01c00d08060033e74b" },
	{ "osmo-sgsn", "Authentication and Ciphering Req", 1,
	  "41c0050812104021aad36b194a5abc68e7d1b7a37825ec028028105f6fa28f36740000c02a8e618365c510fca64e" },
	{ "trial equipment", "Authentication and Ciphering Resp", 0,
	  "01c00908130422cfaa3e7023093315320400000001f12904cc595b08f81839" },
	{ "osmo-sgsn", "Attach Accept", 1,
	  "01c0090802012a4400f11000010117161805f4fb69da84368928" },
	{ "trial equipment", "Attach Complete", 0,
	  "01c00d0803551cea" },
	{ "trial equipment", "Activate PDP Context Request", 0,
	  "01c0110a4105030b23621f7296404074030000020121280c0470726f7606646c7573696d27178080211001000010810600000000830600"
	  "000000000d005762ca" },
	{ "osmo-sgsn", "Activate PDP Context Accept", 1,
	  "01c00d8a42030e23621f72993f3f1143ffff000000042b0601210a2f000127158080210a0200000a81060a630201000d040a630201c59e"
	  "b8" },
	{ "osmo-sgsn", "Activate PDP Context Reject", 1,
	  "01c00d8a43219ffdf4" },
	{ "trial equipment", "Activate PDP Context Request", 0,
	  "01c0150a4105030b23621f7296404074030000020121280c0470726f7606646c7573696d27178080211001000010810600000000830600"
	  "000000000d00486782" },
	{ "osmo-sgsn", "Activate PDP Context Accept", 1,
	  "01c0118a42030e23621f72993f3f1143ffff000000042b0601210a2d000127158080210a0200000a81060a630101000d040a63010126cc"
	  "3d" },
};
