%% Evaluated by the RabbitMQ node before it boots: loads the modules it is going to load anyway.
%% One at a time, as the boot would, each costs a round through all threads of the machine; by
%% forties they cost a third less of the start's processor time, and hardly more memory.
case init:get_argument(syslog) of
    error ->
        %% Not the node, but the short-lived program that looks after the port mapper.
        ok;
    _ ->
        Applications = [
            amqp_client, asn1, aten, base64url, cowboy, cowlib, credentials_obfuscation, crypto,
            cuttlefish, enough, gen_batch_server, getopt, inets, jsx, mnesia, os_mon, osiris,
            public_key, ra, rabbit, rabbit_common, rabbitmq_management,
            rabbitmq_management_agent, rabbitmq_prelaunch, rabbitmq_web_dispatch, ranch, recon,
            seshat, ssl, stdout_formatter, sysmon_handler, syslog, xmerl
        ],
        Modules = [
            list_to_atom(filename:basename(File, ".beam"))
         || Application <- Applications,
            is_list(code:lib_dir(Application)),
            File <- filelib:wildcard(code:lib_dir(Application) ++ "/ebin/*.beam")
        ],
        Load = fun
            Next([]) ->
                ok;
            Next(Rest) ->
                {Some, Others} = lists:split(min(40, length(Rest)), Rest),
                %% What cannot be loaded now is the boot's affair.
                code:ensure_modules_loaded(Some),
                Next(Others)
        end,
        %% In a process of its own, whose garbage goes with it.
        {_, Reference} = spawn_monitor(fun() -> Load(Modules) end),
        receive
            {'DOWN', Reference, process, _, _} -> ok
        end
end.
