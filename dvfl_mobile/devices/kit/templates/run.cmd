@echo off
rem Runs the kit on the phone that adb knows, and leaves kit-results.zip beside this file. Usage: run.cmd [SERIAL]
setlocal
cd /d "%~dp0"
if not defined ADB set ADB=adb
set FOLDER=/data/local/tmp/dvfl-mobile-kit-@ID@
set PHONE="%ADB%"
if not "%~1"=="" set PHONE="%ADB%" -s %1
if exist kit-results del kit-results
if exist kit-results.zip del kit-results.zip
echo Copying the kit to the phone
%PHONE% shell "rm -rf %FOLDER%; mkdir -p %FOLDER%" || goto failed
%PHONE% push phone/. %FOLDER%/ || goto failed
echo Running; leave the phone alone
%PHONE% shell "sh %FOLDER%/device.sh" || goto failed
%PHONE% pull %FOLDER%/kit-results kit-results || goto failed
%PHONE% shell "rm -rf %FOLDER%"
rem Windows 10 and newer bring a tar that writes zips.
tar -a -c -f kit-results.zip kit-results || goto failed
del kit-results
echo Done. Please send back kit-results.zip
exit /b 0
:failed
echo The kit didn't run to its end.
exit /b 6
