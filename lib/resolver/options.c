#include <privydns/privydns.h>

#define SET(name, unit, least, most, def, meaning) o->name = def;

void privy_query_options_default(struct privy_query_options *o)
{
    *o = (struct privy_query_options){.size = sizeof *o};
    PRIVY_QUERY_OPTIONS(SET)
}

void privy_cache_options_default(struct privy_cache_options *o)
{
    *o = (struct privy_cache_options){.size_of = sizeof *o};
    PRIVY_CACHE_OPTIONS(SET)
}

void privy_limit_options_default(struct privy_limit_options *o)
{
    *o = (struct privy_limit_options){.size = sizeof *o};
    PRIVY_LIMIT_OPTIONS(SET)
}

void privy_pool_options_default(struct privy_pool_options *o)
{
    *o = (struct privy_pool_options){.size = sizeof *o};
    PRIVY_POOL_OPTIONS(SET)
}

void privy_resolver_options_default(struct privy_resolver_options *o)
{
    *o = (struct privy_resolver_options){.size = sizeof *o};
    privy_query_options_default(&o->query);
    privy_limit_options_default(&o->limits);
}

const char *privy_version(void)
{
    return PRIVYDNS_VERSION;
}
