/* The registered names of types and RCODEs [IANA, DNS parameters]. */
#include "wire/rrtype.h"

#include <privydns/privydns.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    uint16_t type;
    char name[12];
} types[] = {
    {1, "A"},           {2, "NS"},       {3, "MD"},        {4, "MF"},         {5, "CNAME"},
    {6, "SOA"},         {7, "MB"},       {8, "MG"},        {9, "MR"},         {10, "NULL"},
    {11, "WKS"},        {12, "PTR"},     {13, "HINFO"},    {14, "MINFO"},     {15, "MX"},
    {16, "TXT"},        {17, "RP"},      {18, "AFSDB"},    {19, "X25"},       {20, "ISDN"},
    {21, "RT"},         {22, "NSAP"},    {23, "NSAP-PTR"}, {24, "SIG"},       {25, "KEY"},
    {26, "PX"},         {27, "GPOS"},    {28, "AAAA"},     {29, "LOC"},       {30, "NXT"},
    {31, "EID"},        {32, "NIMLOC"},  {33, "SRV"},      {34, "ATMA"},      {35, "NAPTR"},
    {36, "KX"},         {37, "CERT"},    {38, "A6"},       {39, "DNAME"},     {40, "SINK"},
    {41, "OPT"},        {42, "APL"},     {43, "DS"},       {44, "SSHFP"},     {45, "IPSECKEY"},
    {46, "RRSIG"},      {47, "NSEC"},    {48, "DNSKEY"},   {49, "DHCID"},     {50, "NSEC3"},
    {51, "NSEC3PARAM"}, {52, "TLSA"},    {53, "SMIMEA"},   {55, "HIP"},       {56, "NINFO"},
    {57, "RKEY"},       {58, "TALINK"},  {59, "CDS"},      {60, "CDNSKEY"},   {61, "OPENPGPKEY"},
    {62, "CSYNC"},      {63, "ZONEMD"},  {64, "SVCB"},     {65, "HTTPS"},     {66, "DSYNC"},
    {99, "SPF"},        {100, "UINFO"},  {101, "UID"},     {102, "GID"},      {103, "UNSPEC"},
    {104, "NID"},       {105, "L32"},    {106, "L64"},     {107, "LP"},       {108, "EUI48"},
    {109, "EUI64"},     {128, "NXNAME"}, {249, "TKEY"},    {250, "TSIG"},     {251, "IXFR"},
    {252, "AXFR"},      {253, "MAILB"},  {254, "MAILA"},   {255, "ANY"},      {256, "URI"},
    {257, "CAA"},       {258, "AVC"},    {259, "DOA"},     {260, "AMTRELAY"}, {261, "RESINFO"},
    {262, "WALLET"},    {263, "CLA"},    {264, "IPN"},     {32768, "TA"},     {32769, "DLV"},
};

/* "123": no sign, no more than five digits, 1 to 65535; else 0. */
static uint16_t number_parse(const char *text)
{
    size_t length = strspn(text, "0123456789");
    unsigned value = 0;

    if (length < 1 || length > 5 || text[length])
        return 0;
    for (; *text; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return value <= 65535 ? (uint16_t)value : 0;
}

uint16_t pv_type_parse(const char *text)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(text, types[i].name) == 0)
            return types[i].type;
    return strncasecmp(text, "TYPE", 4) == 0 ? number_parse(text + 4) : 0;
}

const char *pv_type_text(uint16_t type, char out[16])
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return strcpy(out, types[i].name);
    snprintf(out, 16, "TYPE%u", (unsigned)type);
    return out;
}

const char *privy_rcode_text(unsigned rcode, char out[16])
{
    static const char names[][12] = {
        "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE", "DSOTYPENI",
    };

    if (rcode < sizeof names / sizeof *names)
        return strcpy(out, names[rcode]);
    if (rcode == 16)
        return strcpy(out, "BADVERS");
    snprintf(out, 16, "RCODE%u", rcode & 0xffff);
    return out;
}

uint16_t privy_type_parse(const char *text)
{
    return text ? pv_type_parse(text) : 0;
}

const char *privy_type_text(uint16_t type, char out[16])
{
    return pv_type_text(type, out);
}
